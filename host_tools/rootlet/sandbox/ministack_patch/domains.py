"""Domain configurations at the listener: their host names, security policies and own certificates, by server name (SNI).

ministack keeps them, and its listener knows nothing of them.
"""

import contextlib
import json
import logging
import ssl
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from rootlet.sandbox.chain import ServerChain

_log = logging.getLogger("rootlet.sandbox")

_CLIENT_HELLO = 1
_SUITES_13 = range(0x1301, 0x1306)  # RFC 8446 §B.4: they are for TLS 1.3 alone
_speaks_13: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()

_TLS_13_ONLY = "IoTSecurityPolicy_TLS13_1_3_2022_10"
"""AWS IoT Core: transport security. With a policy that has no TLS 1.3 the listener takes 1.3 all the same."""


def apply(iot: Any, account: str, region: str, make_context: Callable[[ServerChain], ssl.SSLContext]) -> None:
    hello, reaches, describe = iot._mtls_on_client_hello, iot._mtls_server_name_reaches, iot._describe_domain_configuration

    def on_client_hello(tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        hello(tls, name, context)
        try:
            with iot.request_scope(account, region):
                return _present(iot, tls, next(_named(iot, name), None), make_context)
        except Exception:  # whatever escapes would be an internal error to the client, with no word in the log
            _log.exception("the domain configuration of %s cannot be served", name)
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR

    def server_name_reaches(name: str, whose: str) -> bool:
        with iot.request_scope(account, region):
            ours = next(_named(iot, name), None) is not None
        return (ours and whose == account) or bool(reaches(name, whose))

    def describe_domain_configuration(name: str) -> Any:
        status, headers, body = describe(name)
        document = json.loads(body)
        if "domainName" in document:
            document["domainName"] = _host(document)
        return status, headers, json.dumps(document).encode()

    iot._mtls_on_client_hello = on_client_hello
    iot._mtls_server_name_reaches = server_name_reaches
    iot._describe_domain_configuration = describe_domain_configuration


def _named(iot: Any, name: str | None) -> Iterator[dict[str, Any]]:
    """The domain configurations of a host name: one, or none."""
    wanted = (name or "").lower().rstrip(".")
    return (record for record in iot._domain_configurations.values() if _host(record).lower() == wanted)


def _host(record: dict[str, Any]) -> str:
    """The host name alone, as AWS has it: ministack adds its HTTP port."""
    return str(record["domainName"]).partition(":")[0]


def _present(
    iot: Any, tls: ssl.SSLObject, domain: dict[str, Any] | None, make_context: Callable[[ServerChain], ssl.SSLContext]
) -> int | None:
    """Choose what the server shows; return the alert that refuses the client, or None."""
    if domain is None:
        return None
    name = domain["domainConfigurationName"]
    if domain["domainConfigurationStatus"] != "ENABLED":
        _log.warning("the domain configuration %s is DISABLED: refused", name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    policy = (domain.get("tlsConfig") or {}).get("securityPolicy", "")
    if policy == _TLS_13_ONLY and not _speaks_13.get(tls):
        _log.warning("%s of the domain configuration %s has no TLS 1.2: refused", policy, name)
        return ssl.ALERT_DESCRIPTION_PROTOCOL_VERSION
    for summary in domain.get("serverCertificates") or ():
        if (chain := _imported(iot._acm_certificate(summary["serverCertificateArn"]) or {})) is not None:
            tls.context = make_context(chain)
    return None


def note_versions(context: ssl.SSLContext) -> None:
    """Have a server's context note which of its clients speak TLS 1.3: the name callback, which may refuse, is not told."""

    def note(tls: Any, direction: str, _version: Any, _content: Any, kind: Any, message: bytes) -> None:
        if direction == "read" and kind == _CLIENT_HELLO:
            with contextlib.suppress(IndexError):  # OpenSSL refuses it
                _speaks_13[tls] = any(suite in _SUITES_13 for suite in _suites(message))

    context._msg_callback = note  # type: ignore[attr-defined]  # Python has no other view of a ClientHello


def _suites(hello: bytes) -> set[int]:
    """The cipher suites in a ClientHello (RFC 8446 §4.1.2)."""
    at = 4 + 34  # the handshake's header, version and random
    at += 1 + hello[at]  # session id
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    return {int.from_bytes(hello[place : place + 2], "big") for place in range(at + 2, end, 2)}


def _imported(record: dict[str, Any]) -> ServerChain | None:
    """The chain of a certificate in ACM. Only one that was imported has its key there; for others the sandbox's is shown."""
    body, chain, key = (record.get(part) or "" for part in ("_pem_body", "_pem_chain", "_private_key"))
    if not (body and key):
        return None
    return ServerChain(b"", f"{body.rstrip()}\n{chain}".encode(), f"\n{key}".encode())
