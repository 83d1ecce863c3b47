"""Server chains with every defect, each with what a client must make of it."""

import functools
import hashlib
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet.pki.certificates import Issuer, PrivateKey

from .certificates import Extension, certificate
from .chains import HOST, WILDCARD


@dataclass(frozen=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def sign(
    name: str,
    by: Signed | None = None,
    *,
    ca: bool = False,
    path_length: int | None = None,
    names: Sequence[str] = (),
    valid: tuple[float, float] = (-100, 100),
    digest: Any = None,
    key: PrivateKey | None = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    constraints: x509.NameConstraints | None = None,
    constraints_critical: bool = True,
) -> Signed:
    """A certificate as a test wants it; ``valid`` in days from now. Without ``by`` it signs itself."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    extensions: list[Extension] = [
        (x509.BasicConstraints(ca, path_length if ca else None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    if by:
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), False))
    if not ca:
        extensions.append((x509.ExtendedKeyUsage([usage]), False))
    if names:
        extensions.append((x509.SubjectAlternativeName([_general(one) for one in names]), False))
    if constraints:
        extensions.append((constraints, constraints_critical))
    issuer = Issuer(by.certificate, by.key) if by else None
    made = certificate(name, key, extensions, by=issuer, valid=valid, digest=digest)
    return Signed(made, key)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True)
class DefectCase:
    """``fault``: the device's word, '' where it connects. ``openssl``: whether OpenSSL verifies it. ``why`` they differ."""

    sent: tuple[x509.Certificate, ...]
    key: PrivateKey
    roots: tuple[x509.Certificate, ...]
    host: str
    fault: str
    openssl: bool
    why: str = ""


CASES: dict[str, Callable[[], DefectCase]] = {}


def case(build: Callable[[], DefectCase]) -> Callable[[], DefectCase]:
    CASES[build.__name__] = cached = functools.cache(build)
    return cached


@functools.cache
def root() -> Signed:
    return sign("Test Root", ca=True, valid=(-1000, 3000))


@functools.cache
def intermediate() -> Signed:
    return sign("Test Intermediate", root(), ca=True, path_length=0, valid=(-900, 2900))


def _leaf(by: Signed | None = None, name: str = "server", **more: Any) -> Signed:
    return sign(name, by or intermediate(), **{"names": [WILDCARD], **more})


def _with_sha1(signed: Signed, by: Signed) -> Signed:
    # cryptography signs no certificate with SHA-1 any more.
    changed = asn1.Certificate.load(signed.certificate.public_bytes(Encoding.DER))
    changed["tbs_certificate"]["signature"] = changed["signature_algorithm"] = {"algorithm": "sha1_ecdsa"}
    digest = hashlib.sha1(changed["tbs_certificate"].dump(force=True)).digest()
    signer = by.key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    changed["signature_value"] = signer.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA1())))
    return Signed(x509.load_der_x509_certificate(changed.dump(force=True)), signed.key)


def _usual(leaf: Signed, fault: str, openssl: bool, why: str = "", host: str = HOST) -> DefectCase:
    return DefectCase(
        (leaf.certificate, intermediate().certificate), leaf.key, (root().certificate,), host, fault, openssl, why
    )


@case
def sound() -> DefectCase:
    return _usual(_leaf(), "", True)


@case
def expired() -> DefectCase:
    return _usual(_leaf(valid=(-90, -1)), "tls-expired", False)


@case
def not_yet_valid() -> DefectCase:
    return _usual(_leaf(valid=(1, 90)), "tls-not-yet-valid", False)


@case
def expired_intermediate() -> DefectCase:
    old = sign("Old Intermediate", root(), ca=True, path_length=0, valid=(-900, -1))
    leaf = _leaf(old)
    return DefectCase((leaf.certificate, old.certificate), leaf.key, (root().certificate,), HOST, "tls-expired", False)


@case
def expired_root() -> DefectCase:
    old = sign("Old Root", ca=True, valid=(-900, -1))
    leaf = _leaf(old)
    return DefectCase((leaf.certificate,), leaf.key, (old.certificate,), HOST, "tls-expired", False)


@case
def wrong_host() -> DefectCase:
    return _usual(_leaf(names=["other.example"]), "tls-hostname", False)


@case
def host_in_common_name_only() -> DefectCase:
    return _usual(sign(HOST, intermediate()), "", True)


@case
def host_in_common_name_beside_other_names() -> DefectCase:
    return _usual(sign(HOST, intermediate(), names=["other.example"]), "tls-hostname", False)


@case
def address() -> DefectCase:
    return _usual(_leaf(names=["127.0.0.1"]), "", True, host="127.0.0.1")


@case
def wrong_address() -> DefectCase:
    return _usual(_leaf(names=["127.0.0.2", "localhost"]), "tls-hostname", False, host="127.0.0.1")


@case
def wildcard_one_label_short() -> DefectCase:
    return _usual(_leaf(names=["*.eu-west-1.localhost"]), "tls-hostname", False)


@case
def wildcard_for_the_bare_domain() -> DefectCase:
    return _usual(_leaf(), "tls-hostname", False, host="iot.eu-west-1.localhost")


@case
def missing_intermediate() -> DefectCase:
    leaf = _leaf()
    return DefectCase((leaf.certificate,), leaf.key, (root().certificate,), HOST, "tls-untrusted-root", False)


@case
def unknown_root() -> DefectCase:
    other = sign("Test Root", ca=True)
    return DefectCase(
        _usual(leaf := _leaf(), "", True).sent, leaf.key, (other.certificate,), HOST, "tls-untrusted-root", False
    )


@case
def root_sent_too() -> DefectCase:
    usual = _usual(_leaf(), "", True)
    return DefectCase((*usual.sent, root().certificate), usual.key, usual.roots, HOST, "", True)


@case
def superfluous_stranger() -> DefectCase:
    usual = _usual(_leaf(), "", True)
    stranger = sign("Stranger", ca=True).certificate
    return DefectCase((usual.sent[0], stranger, usual.sent[1]), usual.key, usual.roots, HOST, "", True)


@case
def wrong_order() -> DefectCase:
    upper = sign("Upper", root(), ca=True, path_length=1)
    lower = sign("Lower", upper, ca=True, path_length=0)
    leaf = _leaf(lower)
    sent = (leaf.certificate, upper.certificate, lower.certificate)
    why = "Mbed TLS looks for an issuer behind a certificate only (RFC 5246 requires that order); OpenSSL looks everywhere"
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, "tls-untrusted-root", True, why)


@case
def self_signed() -> DefectCase:
    leaf = sign("server", names=[WILDCARD])
    return DefectCase((leaf.certificate,), leaf.key, (root().certificate,), HOST, "tls-untrusted-root", False)


@case
def cross_signed_good_one_first() -> DefectCase:
    other = sign("Other Root", ca=True)
    between = intermediate()
    twin = sign("Test Intermediate", other, ca=True, path_length=0, key=between.key)
    leaf = _leaf()
    sent = (leaf.certificate, between.certificate, twin.certificate)
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, "", True)


@case
def cross_signed_root() -> DefectCase:
    # As Amazon's: the new root, signed by the old one too, is sent; the device has embedded the new one itself.
    old = sign("Old Root", ca=True)
    twin = sign("Test Root", old, ca=True, key=root().key)
    usual = _usual(_leaf(), "", True)
    return DefectCase((*usual.sent, twin.certificate), usual.key, usual.roots, HOST, "", True)


@case
def cross_signed_both_roots_embedded() -> DefectCase:
    old = sign("Old Root", ca=True)
    twin = sign("Test Root", old, ca=True, key=root().key)
    usual = _usual(_leaf(), "", True)
    return DefectCase((*usual.sent, twin.certificate), usual.key, (root().certificate, old.certificate), HOST, "", True)


@case
def sha1_signature() -> DefectCase:
    why = "OpenSSL's verify command accepts SHA-1 at its default level; its TLS does not"
    return _usual(_with_sha1(_leaf(), intermediate()), "tls-failed", True, why)


@case
def rsa_1024_server() -> DefectCase:
    key = rsa.generate_private_key(65537, 1024)
    why = "OpenSSL's verify command accepts the key at its default level; its TLS does not"
    return _usual(_leaf(key=key), "tls-failed", True, why)


@case
def path_length_exceeded() -> DefectCase:
    upper = sign("Upper", root(), ca=True, path_length=0)
    lower = sign("Lower", upper, ca=True, path_length=0)
    leaf = _leaf(lower)
    sent = (leaf.certificate, lower.certificate, upper.certificate)
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, "tls-untrusted-root", False)


@case
def intermediate_is_no_ca() -> DefectCase:
    fake = sign("Not A CA", root())
    leaf = _leaf(fake)
    return DefectCase(
        (leaf.certificate, fake.certificate), leaf.key, (root().certificate,), HOST, "tls-untrusted-root", False
    )


def _constrained(permitted: str, critical: bool) -> DefectCase:
    constraints = x509.NameConstraints([x509.DNSName(permitted)], None)
    tight = sign("Constrained", root(), ca=True, path_length=0, constraints=constraints, constraints_critical=critical)
    leaf = _leaf(tight)
    met = HOST.endswith(permitted)
    if critical:
        why = "Mbed TLS does not know name constraints, so a critical one fails" if met else ""
        fault = "tls-failed"
    else:
        why = "" if met else "Mbed TLS does not know name constraints and ignores one that is not critical"
        fault = ""
    sent = (leaf.certificate, tight.certificate)
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, fault, met, why)


@case
def name_constraints_met() -> DefectCase:
    return _constrained("localhost", critical=True)


@case
def name_constraints_broken() -> DefectCase:
    return _constrained("other.example", critical=True)


@case
def name_constraints_broken_but_not_critical() -> DefectCase:
    return _constrained("other.example", critical=False)


@case
def for_clients_only() -> DefectCase:
    return _usual(_leaf(usage=ExtendedKeyUsageOID.CLIENT_AUTH), "tls-failed", False)


def _long(count: int, fault: str, why: str = "") -> DefectCase:
    below = [root()]
    for number in range(count - 1):
        below.append(sign(f"CA {number}", below[-1], ca=True))
    leaf = _leaf(below[-1])
    sent = (leaf.certificate, *[one.certificate for one in reversed(below[1:])])
    return DefectCase(sent, leaf.key, (root().certificate,), HOST, fault, True, why)


@case
def nine_certificates() -> DefectCase:
    return _long(9, "")


@case
def twenty_certificates() -> DefectCase:
    return _long(20, "tls-failed", "Mbed TLS follows 8 intermediates, OpenSSL 100")


@case
def larger_than_a_record() -> DefectCase:
    names = [WILDCARD, *[f"host-{number}.a-rather-long-domain-to-fill-the-record.example" for number in range(290)]]
    return _usual(_leaf(names=names), "tls-failed", True, "Mbed TLS accepts 16 KiB of certificates, OpenSSL 100 KiB")


@case
def other_key_in_intermediate() -> DefectCase:
    impostor = sign("Test Intermediate", root(), ca=True, path_length=0)
    leaf = _leaf()
    return DefectCase(
        (leaf.certificate, impostor.certificate), leaf.key, (root().certificate,), HOST, "tls-untrusted-root", False
    )
