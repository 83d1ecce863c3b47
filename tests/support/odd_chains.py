"""Server chains on which clients disagree: what a certificate may say, and what mbedTLS makes of it."""

from collections.abc import Callable, Sequence
from typing import Any

from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from rootlet.pki.certificates import Issuer, PrivateKey

from .certificates import Extension, certificate
from .chains import HOST, WILDCARD, named
from .defects import DefectCase, Signed, case, intermediate, root, sign

_DNS = (x509.SubjectAlternativeName([x509.DNSName(WILDCARD)]), False)


def _certified(
    *extensions: Extension,
    by: Signed | None = None,
    subject: x509.Name | None = None,
    ca: bool = False,
    key: PrivateKey | None = None,
    digest: Any = None,
    pss: bool = False,
) -> Signed:
    """A certificate that says this and nothing else."""
    by, key = by or intermediate(), key or ec.generate_private_key(ec.SECP256R1())
    salted = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if pss else None
    said = [(x509.BasicConstraints(ca, None), True), *extensions]
    issuer = Issuer(by.certificate, by.key)
    return Signed(
        certificate(subject or "server", key, said, by=issuer, valid=(-90, 90), digest=digest, padding=salted), key
    )


def _case(
    leaf: Signed,
    fault: str,
    openssl: bool,
    why: str = "",
    *,
    above: Sequence[Signed] | None = None,
    roots: Sequence[Signed] | None = None,
    host: str = HOST,
) -> DefectCase:
    sent = (leaf.certificate, *(one.certificate for one in ([intermediate()] if above is None else above)))
    return DefectCase(sent, leaf.key, tuple(one.certificate for one in roots or [root()]), host, fault, openssl, why)


def _changed(signed: Signed, by: Signed, change: Callable[[asn1.TbsCertificate], None]) -> Signed:
    # What cryptography would not make.
    certificate = asn1.Certificate.load(signed.certificate.public_bytes(Encoding.DER))
    change(certificate["tbs_certificate"])
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    tbs = certificate["tbs_certificate"].dump(force=True)
    certificate["signature_value"] = by.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return Signed(x509.load_der_x509_certificate(certificate.dump(force=True)), signed.key)


def _alternative(*names: x509.GeneralName) -> Extension:
    return x509.SubjectAlternativeName(names), False


def _usage(**bits: bool) -> Extension:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every = (*names, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: bits.get(name, False) for name in every}), True


@case
def wildcard_right_below_a_top_level() -> DefectCase:
    why = "Mbed TLS accepts a wildcard right below a top level; OpenSSL requires two labels behind it"
    return _case(_certified(_alternative(x509.DNSName("*.localhost"))), "", False, why, host="broker.localhost")


@case
def wildcard_within_a_label() -> DefectCase:
    why = "Mbed TLS accepts a wildcard for a whole label only; OpenSSL also for a part of one"
    return _case(_certified(_alternative(x509.DNSName(f"a{WILDCARD}"))), "tls-hostname", True, why)


@case
def email_address_beside_the_host_in_the_common_name() -> DefectCase:
    why = "Mbed TLS looks at no common name beside alternative names of any kind; OpenSSL at none beside DNS names"
    leaf = _certified(_alternative(x509.RFC822Name("a@example.org")), subject=named(HOST))
    return _case(leaf, "tls-hostname", True, why)


@case
def host_with_a_dot_at_its_end() -> DefectCase:
    return _case(_certified(_DNS), "tls-hostname", False, host=HOST + ".")


@case
def name_with_a_dot_at_its_end() -> DefectCase:
    return _case(_certified(_alternative(x509.DNSName(HOST + "."))), "tls-hostname", False)


@case
def name_in_capitals() -> DefectCase:
    return _case(_certified(_alternative(x509.DNSName(HOST.upper()))), "", True)


@case
def host_in_the_second_common_name() -> DefectCase:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("server", HOST)])
    return _case(_certified(subject=subject), "", True)


@case
def address_in_the_common_name() -> DefectCase:
    why = "Mbed TLS compares an address with the common name too; OpenSSL with alternative names that are addresses"
    return _case(_certified(subject=named("127.0.0.1")), "", False, why, host="127.0.0.1")


@case
def critical_policy() -> DefectCase:
    why = "Mbed TLS knows no policy but anyPolicy, so a critical one of another kind fails"
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)
    return _case(_certified(_DNS, (x509.CertificatePolicies([policy]), True)), "tls-failed", True, why)


@case
def critical_any_policy() -> DefectCase:
    policy = x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)
    return _case(_certified(_DNS, (x509.CertificatePolicies([policy]), True)), "", True)


@case
def critical_key_identifiers() -> DefectCase:
    why = "Mbed TLS knows critical key identifiers; OpenSSL refuses them, as RFC 5280 forbids it"
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(intermediate().key.public_key())
    leaf = _certified(_DNS, (aki, True), (x509.SubjectKeyIdentifier(bytes(20)), True))
    return _case(leaf, "", False, why)


@case
def critical_stranger() -> DefectCase:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.9"), b"\x05\x00")
    return _case(_certified(_DNS, (unknown, True)), "tls-failed", False)


@case
def superfluous_with_a_critical_stranger() -> DefectCase:
    why = "Mbed TLS reads all that was sent, even what leads nowhere"
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.9"), b"\x05\x00")
    other = _certified((unknown, True), by=root(), subject=named("Stranger"), ca=True)
    return _case(_certified(_DNS), "tls-failed", True, why, above=[intermediate(), other])


@case
def other_authority_key_identifier() -> DefectCase:
    why = "Mbed TLS compares names and signatures; OpenSSL also AKI and SKI"
    return _case(_certified(_DNS, (x509.AuthorityKeyIdentifier(bytes(20), None, None), False)), "", False, why)


@case
def intermediate_that_may_not_sign() -> DefectCase:
    between = _certified(_usage(digital_signature=True), by=root(), subject=named("Between"), ca=True)
    return _case(_certified(_DNS, by=between), "tls-untrusted-root", False, above=[between])


@case
def intermediate_for_clients_only() -> DefectCase:
    why = "Mbed TLS looks at the extended key usage of the server's own certificate only"
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    between = _certified((usage, False), by=root(), subject=named("Between"), ca=True)
    return _case(_certified(_DNS, by=between), "", False, why, above=[between])


@case
def any_extended_key_usage() -> DefectCase:
    why = "Mbed TLS accepts anyExtendedKeyUsage for a server; OpenSSL requires serverAuth"
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])
    return _case(_certified(_DNS, (usage, False)), "", False, why)


@case
def server_certificate_embedded() -> DefectCase:
    leaf = _certified(_DNS)
    return _case(leaf, "tls-untrusted-root", False, above=[], roots=[leaf])


@case
def self_signed_server_certificate_embedded() -> DefectCase:
    leaf = sign("server", names=[WILDCARD])
    return _case(leaf, "", True, above=[], roots=[leaf])


@case
def intermediate_embedded() -> DefectCase:
    why = "Mbed TLS ends at any embedded CA; OpenSSL requires a self-signed one"
    return _case(_certified(_DNS), "", False, why, above=[], roots=[intermediate()])


@case
def version_1_root() -> DefectCase:
    def old(tbs: asn1.TbsCertificate) -> None:
        tbs["version"] = "v1"
        del tbs["extensions"]

    plain = sign("Version 1 Root", ca=True)
    top = _changed(plain, plain, old)
    return _case(_certified(_DNS, by=top), "", True, above=[], roots=[top])


@case
def cross_signed_wrong_one_first() -> DefectCase:
    other = sign("Other Root", ca=True)
    twin = sign("Test Intermediate", other, ca=True, path_length=0, key=intermediate().key)
    return _case(_certified(_DNS), "tls-untrusted-root", False, above=[twin, intermediate()])


@case
def expired_twin_of_the_intermediate_first() -> DefectCase:
    twin = sign("Test Intermediate", root(), ca=True, path_length=0, key=intermediate().key, valid=(-90, -1))
    return _case(_certified(_DNS), "", True, above=[twin, intermediate()])


@case
def expired_twin_of_the_root_embedded_too() -> DefectCase:
    twin = sign("Test Root", ca=True, key=root().key, valid=(-90, -1))
    return _case(_certified(_DNS), "", True, roots=[twin, root()])


@case
def root_that_cannot_be_loaded_embedded_too() -> DefectCase:
    constraints = x509.NameConstraints([x509.DNSName("a.example")], None), True
    useless = certificate("Constrained Root", root().key, [(x509.BasicConstraints(True, None), True), constraints])
    return _case(_certified(_DNS), "", True, roots=[Signed(useless, root().key), root()])


@case
def sha_224_signature() -> DefectCase:
    why = "Mbed TLS requires SHA-256 or longer"
    return _case(_certified(_DNS, digest=hashes.SHA224()), "tls-failed", True, why)


@case
def rsa_1024_root() -> DefectCase:
    why = "OpenSSL's verify command accepts the key at its default level; its TLS does not"
    top = sign("Short Root", ca=True, key=rsa.generate_private_key(65537, 1024))
    return _case(_certified(_DNS, by=top), "tls-failed", True, why, above=[], roots=[top])


@case
def rsa_pss_signature() -> DefectCase:
    why = "MicroPython builds Mbed TLS without RSASSA-PSS"
    top = sign("RSA Root", ca=True, key=rsa.generate_private_key(65537, 2048))
    return _case(_certified(_DNS, by=top, pss=True), "tls-failed", True, why, above=[], roots=[top])


def _twice(tbs: asn1.TbsCertificate) -> None:
    tbs["extensions"].append(tbs["extensions"][0])


@case
def superfluous_with_an_extension_twice() -> DefectCase:
    why = "Mbed TLS reads all that was sent, even what leads nowhere"
    stranger = sign("Stranger", ca=True)
    return _case(_certified(_DNS), "tls-failed", True, why, above=[intermediate(), _changed(stranger, stranger, _twice)])
