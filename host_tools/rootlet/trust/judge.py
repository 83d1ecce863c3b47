"""Whether a device would connect: the rules of mbedTLS (3.6, as configured by MicroPython), applied to a server's chain.

The tests compare every verdict with a real mbedTLS, the Unix port's, and with OpenSSL. Where the two libraries differ, the
verdict is that of mbedTLS; docs/trust.md says where and why.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from rootlet.trust.loading import unloadable, unsupported_extension
from rootlet.trust.model import Certificate
from rootlet.words import are, number_of

MAX_CHAIN = (
    10  # certificates in a path that mbedTLS accepts: 8 intermediates and both ends (MBEDTLS_X509_MAX_INTERMEDIATE_CA)
)
MAX_MESSAGE = 16384  # bytes of a handshake message, which must fit into the input buffer (MBEDTLS_SSL_IN_CONTENT_LEN)
_HASHES = ("sha256", "sha384", "sha512")  # mbedtls_x509_crt_profile_default
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS = 2048


@dataclass(frozen=True)
class ChainCheck:
    """One check and its result. ``word`` is the fault that the device would report where ``ok`` is false."""

    name: str
    ok: bool
    text: str
    word: str = ""


@dataclass(frozen=True)
class ChainVerdict:
    """``path`` is the one that the device builds; ``anchor`` is the embedded root at its end, or None."""

    rules: tuple[ChainCheck, ...]
    path: tuple[Certificate, ...]
    anchor: Certificate | None

    @property
    def ok(self) -> bool:
        """Whether the device would connect."""
        return all(rule.ok for rule in self.rules)

    @property
    def broken(self) -> list[ChainCheck]:
        return [rule for rule in self.rules if not rule.ok]


def judge(
    sent: Sequence[Certificate],
    roots: Sequence[Certificate],
    host: str | None,
    at: dt.datetime,
    size: int = 0,
    unreadable: int = 0,
) -> ChainVerdict:
    """The verdict on certificates in the order sent. ``host`` None skips the name; ``size`` is the TLS message's, in bytes.

    ``unreadable`` is the number of certificates that could not be parsed: with any, the verdict is never ok.
    """
    if unreadable and not sent:
        return ChainVerdict((_parses(sent, unreadable),), (), None)
    if not sent:
        return ChainVerdict((ChainCheck("chain", False, "no certificate was sent", "tls-no-tls"),), (), None)
    roots, rule = _loaded(roots)
    path, anchor, why = _climb(sent, roots, at)
    whole = [*path, anchor] if anchor and anchor not in path else [*path]
    rules = [
        _parses(sent, unreadable),
        ChainCheck("chain", anchor is not None, why, "tls-failed" if len(path) >= MAX_CHAIN - 1 else "tls-untrusted-root"),
        *_dates(whole, at),
        _strength(path, anchor),
        _purpose(sent[0]),
        ChainCheck(
            "size",
            size <= MAX_MESSAGE,
            f"the certificates take {size or sum(len(c.der) + 3 for c in sent) + 7} of {MAX_MESSAGE} bytes",
            "tls-failed",
        ),
    ]
    if host is not None:
        rules.insert(3, _host(sent[0], host))
    if rule:
        rules.insert(0, rule)
    return ChainVerdict(tuple(rules), tuple(path), anchor)


def _loaded(roots: Sequence[Certificate]) -> tuple[list[Certificate], ChainCheck | None]:
    # The device leaves out what it cannot load, and does not come so far as to connect where nothing is left.
    loaded = [root for root in roots if not unloadable(root)]
    useless = [why for why in map(unloadable, roots) if why]
    if not useless:
        return loaded, None
    text = f"the device leaves out an embedded root that it cannot load: {'; '.join(useless)}"
    return loaded, ChainCheck("roots", bool(loaded), text, "" if loaded else "root-unusable")


def _climb(
    sent: Sequence[Certificate], roots: Sequence[Certificate], at: dt.datetime
) -> tuple[list[Certificate], Certificate | None, str]:
    # As mbedTLS: an embedded root first, else a certificate sent after the child; the choice is final.
    path = [sent[0]]
    while True:
        child = path[-1]
        if child in roots and (child.self_issued or len(path) > 1):  # an embedded leaf is accepted only if it is self-signed
            return path, child, f"ends at the embedded {child.common_name}"
        if (parent := _parent(child, roots, path, at, embedded=True)) is not None:
            return path, parent, f"ends at the embedded {parent.common_name}"
        if len(path) >= MAX_CHAIN - 1:
            return path, None, f"longer than the {MAX_CHAIN} certificates that the device follows"
        later = sent[sent.index(child) + 1 :]
        parent = _parent(child, later, path, at)
        if parent is None:
            return path, None, _why_not(child, sent, roots, path)
        path.append(parent)


def _parent(
    child: Certificate,
    candidates: Sequence[Certificate],
    path: Sequence[Certificate],
    at: dt.datetime,
    *,
    embedded: bool = False,
) -> Certificate | None:
    fallback = None
    for candidate in candidates:
        if candidate in path or not _may_sign(candidate, embedded) or not _long_enough(candidate, path):
            continue
        if not candidate.signed(child):
            continue
        if candidate.not_before <= at <= candidate.not_after:
            return candidate
        fallback = fallback or candidate
    return fallback


def _may_sign(candidate: Certificate, embedded: bool) -> bool:
    if embedded and candidate.parsed.version == x509.Version.v1:
        return True  # X.509 v1 has no field for a CA; embedding it declares it one
    return candidate.is_authority and (not candidate.key_usage or "key cert sign" in candidate.key_usage)


def _long_enough(candidate: Certificate, path: Sequence[Certificate]) -> bool:
    # RFC 5280 section 4.2.1.9: intermediates below it, without the self-issued ones.
    if candidate.path_length is None:
        return True
    below = [certificate for certificate in path[1:] if not certificate.self_issued]
    return len(below) <= candidate.path_length


def _why_not(
    child: Certificate, sent: Sequence[Certificate], roots: Sequence[Certificate], path: Sequence[Certificate]
) -> str:
    for candidate in (*roots, *sent):
        if candidate == child or candidate.parsed.subject != child.parsed.issuer:
            continue
        if not candidate.signed(child):
            continue
        if candidate in path:
            continue
        if not _may_sign(candidate, candidate in roots):
            return f"{candidate.common_name}, which signed {child.common_name}, is not a CA that may sign certificates"
        if not _long_enough(candidate, path):
            return f"{candidate.common_name} allows a path of {candidate.path_length} CAs below it; there are more"
        return (
            f"{candidate.common_name}, which signed {child.common_name}, was sent before it: the device looks below it only"
        )
    if child.self_issued:
        return f"{child.common_name} " + ("is self-signed" if len(path) == 1 else "is a root that is not embedded")
    return f"{child.issuer}, the issuer of {child.common_name}, was not sent and is not an embedded root"


def _parses(sent: Sequence[Certificate], unreadable: int) -> ChainCheck:
    if unreadable:
        reason = f"{number_of(unreadable, 'certificate')} {are(unreadable)} not valid X.509"
        return ChainCheck("extensions", False, reason, "tls-failed")
    for certificate in sent:
        if text := unsupported_extension(certificate):
            return ChainCheck("extensions", False, text, "tls-failed")
    return ChainCheck("extensions", True, "no critical extension that the device does not support")


def _dates(whole: Sequence[Certificate], at: dt.datetime) -> list[ChainCheck]:
    for certificate in whole:
        if at > certificate.not_after:
            text = f"{certificate.common_name} expired on {certificate.not_after:%Y-%m-%d %H:%M}Z"
            return [ChainCheck("dates", False, text, "tls-expired")]
        if at < certificate.not_before:
            text = f"{certificate.common_name} is not valid before {certificate.not_before:%Y-%m-%d %H:%M}Z"
            return [ChainCheck("dates", False, text, "tls-not-yet-valid")]
    first = min(whole, key=lambda certificate: certificate.not_after)
    days = first.days_left(at)
    return [ChainCheck("dates", True, f"valid; the first to expire is {first.common_name}, in {number_of(days, 'day')}")]


def _host(server: Certificate, host: str) -> ChainCheck:
    names = server.names if server.has_names else server.common_names
    if any(_matches(name, host) for name in names):
        return ChainCheck("host", True, f"{host} is one of: {', '.join(names)}")
    return ChainCheck("host", False, f"{host} is none of: {', '.join(names) or '(it has no name)'}", "tls-hostname")


def _matches(name: str, host: str) -> bool:
    # As mbedTLS: a wildcard matches exactly one label, the first, even below a top-level domain. A trailing dot belongs to
    # the name.
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(name)
    except ValueError:
        pass
    name, host = name.lower(), host.lower()
    if name.startswith("*."):
        first, _, rest = host.partition(".")
        return bool(first) and rest == name[2:]
    return name == host


def _strength(path: Sequence[Certificate], anchor: Certificate | None) -> ChainCheck:
    for certificate in path:
        if certificate == anchor:
            continue  # a root's own signature proves nothing and is not checked
        if certificate.parsed.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
            text = f"{certificate.common_name} is signed with RSASSA-PSS, which MicroPython's Mbed TLS is built without"
            return ChainCheck("strength", False, text, "tls-failed")
        if certificate.hash_name not in _HASHES:
            text = f"{certificate.common_name} is signed with {certificate.hash_name or certificate.signature}"
            return ChainCheck("strength", False, text, "tls-failed")
    for certificate in [*path, *([anchor] if anchor else [])]:
        public = certificate.parsed.public_key()
        weak = isinstance(public, rsa.RSAPublicKey) and public.key_size < _RSA_BITS
        strange = isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name not in _CURVES
        if weak or strange or not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            text = f"the key of {certificate.common_name} is {certificate.key}, which the device refuses"
            return ChainCheck("strength", False, text, "tls-failed")
    keys = ", ".join(dict.fromkeys(certificate.key for certificate in path))
    return ChainCheck("strength", True, f"keys {keys}; hashes SHA-256 or longer")


def _purpose(server: Certificate) -> ChainCheck:
    usages = server.extended_key_usage
    if usages and not {"serverAuth", "anyExtendedKeyUsage"} & set(usages):
        text = f"{server.common_name} is for {', '.join(usages)}, not for a server"
        return ChainCheck("purpose", False, text, "tls-failed")
    if server.key_usage and "digital signature" not in server.key_usage:
        return ChainCheck("purpose", False, f"{server.common_name} may not make digital signatures", "tls-failed")
    return ChainCheck("purpose", True, "the server's certificate may be used for a server")
