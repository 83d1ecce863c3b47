"""The certificates that a server sends in its TLS handshake, unverified."""

import ipaddress
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from rootlet.errors import BadInput, RootletError
from rootlet.trust.model import Certificate, readable

KeyType = Literal["ecdsa", "rsa"]
MQTT_PORT = 8883
LONGEST_WAIT = 3600.0  # seconds

DEVICE_SUITES = {
    "ecdsa": ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "rsa": ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"),
}
"""The TLS 1.2 cipher suites that ``leaf`` offers (firmware/leaf/tls.py), by the key type of the chain that they select."""

DEVICE_TLS = "1.2"
"""The only version that a device speaks: MicroPython's Mbed TLS is built without TLS 1.3."""

_SIGNATURES = {
    "ecdsa": "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
    "rsa": "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512",
}
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}


@dataclass(frozen=True)
class Offer:
    """A client's offer. ``key_types`` select the chain; ``ciphers``, an OpenSSL cipher string, replaces the suites."""

    key_types: Sequence[KeyType] = ("ecdsa", "rsa")
    version: str = DEVICE_TLS
    ciphers: str | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Served:
    """A server's answer. ``chain`` is in the order sent; ``failure`` says why the handshake failed, or is empty."""

    host: str
    port: int
    offer: Offer
    chain: tuple[Certificate, ...]
    unreadable: int
    version: str
    cipher: str
    failure: str
    message_size: int
    """Bytes of the TLS Certificate message (RFC 5246 section 7.4.2)."""
    staple: bytes = b""
    """The OCSP response that came with it, in DER; empty where none did. A device does not ask for one."""


def parse_target(text: str, default_port: int = MQTT_PORT) -> tuple[str, int]:
    """Host and port of ``HOST[:PORT]``; an IPv6 address with a port has brackets. Raises BadInput."""
    host, port = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or "/" in host or any(character.isspace() for character in host):
        raise BadInput(
            f"{text!r} is not HOST[:PORT]", hint="give, for example, example-ats.iot.eu-west-1.amazonaws.com:8883"
        )
    _check_name(host)
    if not port:
        return host, default_port
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise BadInput(f"{text!r}: {port!r} is not a port", hint="give a port from 1 to 65535")
    return host, int(port)


def fetch(host: str, port: int, offer: Offer, *, timeout: float = 10, connect_to: str | None = None) -> Served:
    """The certificates that a server sends. ``connect_to`` is the address to connect to, instead of DNS.

    Raises RootletError for no server, no TLS or no answer in ``timeout`` seconds; BadInput for an invalid offer.
    """
    if not 0 < timeout <= LONGEST_WAIT:
        raise BadInput(
            f"a timeout of {timeout:g} s is not possible", hint=f"give more than 0 and at most {LONGEST_WAIT:g} seconds"
        )
    if connect_to is not None:
        _check_name(connect_to)
    context = _context(offer)
    stapled = _keep_staple(context)
    deadline = time.monotonic() + timeout
    try:
        plain = socket.create_connection((connect_to or host, port), timeout)
    except socket.gaierror as error:
        raise RootletError(
            f"{host} has no address ({error.strerror})", hint="check the host name: rootlet cloud endpoint"
        ) from None
    except OSError as error:
        reason = error.strerror or "no answer"
        raise RootletError(
            f"{host} port {port} does not accept the connection: {reason}",
            hint="check the port and the firewall: MQTT over TLS uses port 8883",
        ) from None
    with plain:
        plain.setblocking(False)
        connection = SSL.Connection(context, plain)
        if not _is_address(host):
            connection.set_tlsext_host_name(host.encode("idna"))
        connection.request_ocsp()
        connection.set_connect_state()
        failure = _handshake(connection, plain, deadline, f"{host} port {port}", timeout)
        # As pyOpenSSL's objects: with cryptography's, one unreadable certificate would hide all others.
        sent = connection.get_peer_cert_chain() or []
        ders = [crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) for certificate in sent]
        if failure and not ders:
            raise RootletError(f"{host} port {port} sent no certificate: {failure}", hint=_hint(offer, failure))
        chain = readable(ders)
        return Served(
            host,
            port,
            offer,
            tuple(chain),
            len(ders) - len(chain),
            connection.get_protocol_version_name(),
            connection.get_cipher_name() or "",
            failure,
            4 + 3 + sum(3 + len(der) for der in ders),
            b"".join(stapled[:1]),
        )


def _context(offer: Offer) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)  # a chain that does not verify must be read, too; no data is sent
    context.set_min_proto_version(_VERSIONS["1.2"] if offer.version == "any" else _VERSIONS[offer.version])
    context.set_max_proto_version(_VERSIONS["1.3"] if offer.version == "any" else _VERSIONS[offer.version])
    suites = offer.ciphers or ":".join(suite for kind in offer.key_types for suite in DEVICE_SUITES[kind])
    try:
        # Level 0: a chain with SHA-1 or a short key must be read, too.
        context.set_cipher_list(f"{suites}:@SECLEVEL=0".encode())
    except SSL.Error:
        raise BadInput(f"OpenSSL has none of the ciphers {suites!r}", hint="list the ciphers: openssl ciphers -v") from None
    if not offer.ciphers:
        # TLS 1.3 selects the chain by the signature algorithms, for which pyOpenSSL has no function; OpenSSL has one.
        names = ":".join(_SIGNATURES[kind] for kind in offer.key_types)
        SSL._lib.SSL_CTX_set1_sigalgs_list(context._context, names.encode())  # type: ignore[attr-defined]
    if offer.certificate and offer.key:
        try:
            context.use_certificate_chain_file(str(offer.certificate))
            # The key as bytes: given the file's name, OpenSSL would prompt for the passphrase of an encrypted key.
            context.use_privatekey(load_pem_private_key(offer.key.read_bytes(), None))  # type: ignore[arg-type]
            context.check_privatekey()
        except (SSL.Error, OSError, ValueError, TypeError, UnsupportedAlgorithm):
            raise BadInput(
                f"{offer.certificate} and {offer.key} are not a certificate and its key",
                hint="give device.crt and device.key of one device, in PEM, with the key unencrypted",
            ) from None
    return context


def _keep_staple(context: SSL.Context) -> list[bytes]:
    """What the server staples, once the handshake is that far."""
    stapled: list[bytes] = []

    def keep(_connection: SSL.Connection, response: bytes, _data: None) -> bool:
        stapled.append(response)
        return True

    context.set_ocsp_client_callback(keep)
    return stapled


def _handshake(connection: SSL.Connection, plain: socket.socket, deadline: float, where: str, timeout: float) -> str:
    # Returns why the handshake failed, or ''.
    while True:
        try:
            connection.do_handshake()
            return ""
        except (SSL.WantReadError, SSL.WantWriteError) as want:
            writing = [plain] if isinstance(want, SSL.WantWriteError) else []
            if not any(select.select([plain], writing, [], max(0.0, deadline - time.monotonic()))):
                if connection.get_peer_cert_chain():
                    return f"the server did not answer after its certificates ({timeout:g} s)"
                raise RootletError(
                    f"{where} did not answer the handshake in {timeout:g} s",
                    hint="check that the server speaks TLS on this port",
                ) from None
        except SSL.ZeroReturnError:
            return "the server ended TLS before the handshake was over"
        except SSL.SysCallError as error:
            return f"the server closed the connection in the handshake ({error.args[-1]})"
        except SSL.Error as error:
            return _reason(error)


def _reason(error: SSL.Error) -> str:
    reasons = [entry[2] for entry in error.args[0]] if error.args and error.args[0] else []
    text = reasons[0] if reasons else "unknown"
    if "wrong version number" in text or "http request" in text or "packet length too long" in text:
        return f"the server does not speak TLS ({text})"
    return text


def _hint(offer: Offer, failure: str) -> str:
    if "protocol version" in failure and offer.version == DEVICE_TLS:
        # AWS IoT: TLS security policies of domain configurations. The other policies for TLS 1.3 only end in _1_3_….
        return (
            f"the server does not speak TLS {DEVICE_TLS}, and devices speak nothing else: in AWS IoT give the domain "
            "configuration a security policy that has it, such as IoTSecurityPolicy_TLS13_1_2_2022_10"
        )
    if len(offer.key_types) == 1 and not offer.ciphers:
        return f"the server may have no {offer.key_types[0].upper()} chain: try --algorithm both, or another --tls"
    return "check host and port; MQTT over TLS uses port 8883"


def _check_name(host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        raise BadInput(
            f"{host!r} is not a host name", hint="give labels of 1 to 63 characters, with dots between them"
        ) from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
