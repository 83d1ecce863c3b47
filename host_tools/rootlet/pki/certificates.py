"""The certificates that Rootlet issues: four profiles, each as RFC 5280 requires.

Root and intermediate CAs, TLS servers (the sandbox's), and devices (AWS IoT: a client certificate whose common name is
the thing's name).
"""

import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rootlet.errors import BadInput
from rootlet.pki.subject import show_name
from rootlet.words import number_of

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""The exceptions that cryptography raises for a damaged certificate, on loading it or on reading a field."""

BACKDATE = dt.timedelta(hours=24)
"""How far in the past notBefore is: a device's clock may be slow."""

LONGEST = 36_525  # days
VERIFICATION_DAYS = 30

SERIAL_BYTES = 20
"""RFC 5280 §4.1.2.2: at most 20 octets. All bits are random but two: the sign, and one that fixes the length."""


@dataclass(frozen=True)
class Issuer:
    """A CA's certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey


def whole(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate, with every field read: cryptography parses most of them only when asked. Raises UNREADABLE."""
    certificate.public_key(), certificate.subject, certificate.issuer, certificate.extensions
    return certificate


def root(
    subject: x509.Name, key: PrivateKey, *, days: int, path_length: int | None = None, now: dt.datetime | None = None
) -> x509.Certificate:
    """A self-signed CA certificate valid for ``days``."""
    template = _as_authority(_template(subject, validity(days, now, None)), path_length)
    return _finish(template, subject, key.public_key(), key)


def intermediate(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: Issuer,
    *,
    days: int,
    path_length: int = 0,
    now: dt.datetime | None = None,
) -> x509.Certificate:
    """A CA certificate signed by ``issuer``; with ``path_length`` 0 it signs end entities only.

    Raises BadInput where the issuer's path length does not allow such a CA (RFC 5280 §4.2.1.9).
    """
    _check_room(issuer, path_length)
    template = _as_authority(_below(issuer, days, now), path_length)
    return _finish(template, subject, public_key, issuer.key)


def check_profile(days: int, path_length: int | None, issuer: Issuer | None) -> None:
    """Raise BadInput where ``root``, or ``intermediate`` below ``issuer``, would, before a key is made for it."""
    if issuer is not None:
        _check_room(issuer, path_length or 0)
    validity(days, None, issuer.certificate if issuer else None)


def server(
    names: Sequence[str], public_key: PublicKey, issuer: Issuer, *, days: int, now: dt.datetime | None = None
) -> x509.Certificate:
    """A TLS server's certificate for host names and IP addresses; the first name is the subject's common name."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
    template = _as_end_entity(_below(issuer, days, now), ExtendedKeyUsageOID.SERVER_AUTH)
    return _finish(template.add_extension(alternative, critical=False), subject, public_key, issuer.key)


def device(
    subject: x509.Name,
    public_key: PublicKey,
    issuer: Issuer,
    *,
    days: int,
    now: dt.datetime | None = None,
) -> x509.Certificate:
    """A device's certificate, for TLS clients only. Its notAfter is never later than the issuer's."""
    template = _as_end_entity(_below(issuer, days, now), ExtendedKeyUsageOID.CLIENT_AUTH)
    return _finish(template, subject, public_key, issuer.key)


def verification(code: str, public_key: PublicKey, issuer: Issuer, *, now: dt.datetime | None = None) -> x509.Certificate:
    """The certificate that AWS IoT requires for registering a CA: its common name is the registration code.

    The CA signs it. It is valid for ``VERIFICATION_DAYS``, since AWS IoT reads it once.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, code)])
    return device(subject, public_key, issuer, days=VERIFICATION_DAYS, now=now)


def days_of(certificate: x509.Certificate) -> int:
    """The days that a certificate was issued for, 1 or more: BACKDATE, which is before them, is not counted."""
    return max(1, (certificate.not_valid_after_utc - certificate.not_valid_before_utc - BACKDATE).days)


def serial_number() -> int:
    """A random number of 20 bytes, positive and never shortened by DER: the first byte is in 0x40..0x7F."""
    value = int.from_bytes(secrets.token_bytes(SERIAL_BYTES), "big")
    top = 8 * SERIAL_BYTES - 1
    return (value & ~(1 << top)) | (1 << (top - 1))


def _template(issuer: x509.Name, validity: tuple[dt.datetime, dt.datetime]) -> x509.CertificateBuilder:
    return x509.CertificateBuilder().issuer_name(issuer).not_valid_before(validity[0]).not_valid_after(validity[1])


def _below(issuer: Issuer, days: int, now: dt.datetime | None) -> x509.CertificateBuilder:
    template = _template(issuer.certificate.subject, validity(days, now, issuer.certificate))
    return template.add_extension(_authority_key_identifier(issuer.certificate), critical=False)


def _finish(
    template: x509.CertificateBuilder, subject: x509.Name, public_key: PublicKey, key: PrivateKey
) -> x509.Certificate:
    """Add the fields of this one certificate, and sign."""
    return (
        template.subject_name(subject)
        .public_key(public_key)
        .serial_number(serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(key, digest_for(key))
    )


def _check_room(issuer: Issuer, path_length: int) -> None:
    room = _constraints(issuer.certificate).path_length
    if room is not None and path_length >= room:
        name = show_name(issuer.certificate.subject)
        raise BadInput(
            f"{name} has path length {room}: it cannot issue a CA with path length {path_length}",
            hint=f"use --path-length {room - 1}" if room else "use a CA above this one, which signs devices only",
        )


def validity(days: int, now: dt.datetime | None, issuer: x509.Certificate | None) -> tuple[dt.datetime, dt.datetime]:
    """notBefore and notAfter of a certificate for ``days`` from ``now``, within those of its issuer. Raises BadInput."""
    if days < 1:
        raise BadInput(f"a certificate cannot be valid for {number_of(days, 'day')}", hint="give 1 day or more")
    if days > LONGEST:
        raise BadInput(
            f"a certificate cannot be valid for {days} days: that is over a century", hint=f"give {LONGEST} days or fewer"
        )
    now = (now or dt.datetime.now(dt.UTC)).replace(microsecond=0)
    start, end = now - BACKDATE, now + dt.timedelta(days=days)
    if issuer is not None:
        start = max(start, issuer.not_valid_before_utc)
        end = min(end, issuer.not_valid_after_utc)
        if end <= now:
            raise BadInput(
                f"the issuer {show_name(issuer.subject)} expired on {issuer.not_valid_after_utc:%Y-%m-%d}",
                hint="create a new CA, or check this machine's clock",
            )
    return start, end


def _as_authority(template: x509.CertificateBuilder, path_length: int | None) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return template.add_extension(constraints, critical=True).add_extension(_key_usage(certificates=True), critical=True)


def _as_end_entity(template: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    return (
        template.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:  # a CA that Rootlet did not create
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(supported_public_key(issuer.public_key()))
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate is a CA's, by its basic constraints."""
    return _constraints(certificate).ca


def check_authority(certificate: x509.Certificate) -> None:
    """Raise BadInput unless ``certificate`` is a CA's."""
    supported_public_key(certificate.public_key())
    if not is_authority(certificate):
        raise BadInput(f"{show_name(certificate.subject)} is not a CA", hint="use a directory made by rootlet ca create")


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return x509.BasicConstraints(ca=False, path_length=None)


def device_key_usage() -> x509.KeyUsage:
    """What a device's key may do: sign handshakes."""
    return _key_usage(certificates=False)


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    # All cipher suites of the device are (EC)DHE: the certificate's key signs and never encrypts.
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def digest_for(key: PrivateKey) -> Hash:
    """The hash that a key signs with: as strong as the key."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA512() if key.curve.key_size > 384 else hashes.SHA384()
    return hashes.SHA256()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def supported_public_key(key: object) -> PublicKey:
    """``key``, where AWS IoT (CreateCertificateFromCsr) and the device support it: EC P-256, P-384 or P-521, RSA of 2048
    bits or more. Raises BadInput.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return key
    raise BadInput(f"unsupported key ({key_name(key)})", hint="use EC P-256, P-384 or P-521, or RSA with 2048 bits or more")


_NIST_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def key_name(key: object) -> str:
    """A public key's kind, as shown to users: ``EC P-256``, ``RSA 2048``, ``Ed25519``."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {_NIST_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")
