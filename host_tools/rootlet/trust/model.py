"""A certificate's fields, ready to be shown, compared and judged. Nothing is verified."""

import contextlib
import datetime as dt
import hashlib
import re
import ssl
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from rootlet.errors import BadInput
from rootlet.pki.certificates import UNREADABLE, key_name

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_PEM = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----.+?-----END (?:X509 )?CERTIFICATE-----", re.DOTALL)
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


@dataclass(frozen=True)
class Certificate:
    """One certificate. An absent field is an empty string or list; identifiers are hexadecimal with colons."""

    der: bytes

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The parsed certificate."""
        return _load(self.der)

    @property
    def subject(self) -> str:
        return name_text(self.parsed.subject)

    @property
    def issuer(self) -> str:
        return name_text(self.parsed.issuer)

    @property
    def common_name(self) -> str:
        """The subject's common name, or its whole name."""
        return next(iter(self.common_names), self.subject)

    @property
    def common_names(self) -> list[str]:
        """Every common name in the subject."""
        return [printable(str(found.value)) for found in self.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]

    @property
    def serial(self) -> str:
        with _unwarned():
            return f"{self.parsed.serial_number:X}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def not_before(self) -> dt.datetime:
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> dt.datetime:
        return self.parsed.not_valid_after_utc

    def days_left(self, at: dt.datetime) -> int:
        return (self.not_after - at).days

    @property
    def signature(self) -> str:
        """The signature algorithm, such as ``ecdsa-with-SHA256``. It contains ``SHA1`` where the hash is SHA-1."""
        return _oid_name(self.parsed.signature_algorithm_oid)

    @property
    def hash_name(self) -> str:
        """The signature's hash, such as ``sha256``; empty for Ed25519."""
        try:
            algorithm = self.parsed.signature_hash_algorithm
        except Exception:  # an algorithm that cryptography does not support
            return "unknown"
        return algorithm.name if algorithm else ""

    @property
    def key(self) -> str:
        """The kind of key, such as ``EC P-256`` or ``RSA 2048``."""
        return key_name(self.parsed.public_key())

    @property
    def key_usage(self) -> list[str]:
        usage = self._extension(x509.KeyUsage)
        return [name.replace("_", " ") for name in _USAGES if usage and getattr(usage, name)]

    @property
    def extended_key_usage(self) -> list[str]:
        usage = self._extension(x509.ExtendedKeyUsage)
        return [_oid_name(oid) for oid in usage] if usage else []

    @property
    def is_authority(self) -> bool:
        constraints = self._extension(x509.BasicConstraints)
        return bool(constraints and constraints.ca)

    @property
    def path_length(self) -> int | None:
        constraints = self._extension(x509.BasicConstraints)
        return constraints.path_length if constraints else None

    @property
    def basic_constraints(self) -> str:
        constraints = self._extension(x509.BasicConstraints)
        if not constraints:
            return ""
        length = "" if constraints.path_length is None else f", path length {constraints.path_length}"
        return f"CA{length}" if constraints.ca else "no CA"

    @property
    def names(self) -> list[str]:
        """DNS names and IP addresses of the subject alternative name."""
        found = self._extension(x509.SubjectAlternativeName)
        if not found:
            return []
        dns = map(printable, found.get_values_for_type(x509.DNSName))
        return [*dns, *map(str, found.get_values_for_type(x509.IPAddress))]

    @property
    def has_names(self) -> bool:
        """Whether there is a subject alternative name of any kind: then the common name is not used."""
        return self._extension(x509.SubjectAlternativeName) is not None

    @property
    def policies(self) -> list[str]:
        """The certificate policies, as dotted object identifiers."""
        found = self._extension(x509.CertificatePolicies)
        return [policy.policy_identifier.dotted_string for policy in found or ()]

    @property
    def name_constraints(self) -> str:
        found = self._extension(x509.NameConstraints)
        if not found:
            return ""
        permitted = [printable(str(name.value)) for name in found.permitted_subtrees or []]
        excluded = [printable(str(name.value)) for name in found.excluded_subtrees or []]
        parts = [f"only {', '.join(permitted)}"] if permitted else []
        return "; ".join(parts + ([f"not {', '.join(excluded)}"] if excluded else []))

    @property
    def ski(self) -> str:
        found = self._extension(x509.SubjectKeyIdentifier)
        return colons(found.digest) if found else ""

    @property
    def aki(self) -> str:
        found = self._extension(x509.AuthorityKeyIdentifier)
        return colons(found.key_identifier) if found and found.key_identifier else ""

    @property
    def ocsp(self) -> list[str]:
        return self._access(AuthorityInformationAccessOID.OCSP)

    @property
    def ca_issuers(self) -> list[str]:
        return self._access(AuthorityInformationAccessOID.CA_ISSUERS)

    @property
    def self_issued(self) -> bool:
        return self.parsed.subject == self.parsed.issuer

    @cached_property
    def key_bytes(self) -> bytes:
        """SubjectPublicKeyInfo: equal for a root and its cross-signed twin."""
        return self.parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def critical_extensions(self) -> list[str]:
        return [_oid_name(extension.oid) for extension in self.parsed.extensions if extension.critical]

    def signed(self, other: "Certificate") -> bool:
        """Whether this certificate's key made the other's signature, and the names match."""
        if other.parsed.issuer != self.parsed.subject:
            return False
        try:
            if other.hash_name == "sha1":
                _verify_sha1(self.parsed.public_key(), other.parsed)
            else:
                other.parsed.verify_directly_issued_by(self.parsed)
        except Exception:  # cryptography raises a different exception for each reason
            return False
        return True

    def pem(self) -> bytes:
        return self.parsed.public_bytes(Encoding.PEM)

    def _extension(self, kind: type[_Extension]) -> _Extension | None:
        try:
            return self.parsed.extensions.get_extension_for_class(kind).value
        except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
            return None

    def _access(self, method: x509.ObjectIdentifier) -> list[str]:
        found = self._extension(x509.AuthorityInformationAccess)
        return [printable(str(entry.access_location.value)) for entry in found or () if entry.access_method == method]


def _verify_sha1(key: object, child: x509.Certificate) -> None:
    # cryptography no longer verifies SHA-1; to report SHA-1 as the fault, the link must still be found.
    digest = hashlib.sha1(child.tbs_certificate_bytes, usedforsecurity=False).digest()
    prehashed = utils.Prehashed(hashes.SHA1())  # noqa: S303
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(child.signature, digest, ec.ECDSA(prehashed))
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(child.signature, digest, padding.PKCS1v15(), prehashed)
    else:
        raise ValueError("not a key that signs with SHA-1")


def _oid_name(oid: x509.ObjectIdentifier) -> str:
    if oid.dotted_string in _OIDS:
        return _OIDS[oid.dotted_string]
    return oid.dotted_string if oid._name == "Unknown OID" else oid._name


_OIDS = {
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "2.16.840.1.113730.1.1": "nsCertType",
}  # an object identifier that cryptography has no name for


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    # Starfield's root has the serial number 0, which users cannot change: the parser's warning is suppressed.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _load(der: bytes) -> x509.Certificate:
    with _unwarned():
        return x509.load_der_x509_certificate(der)


def parse(data: bytes, where: str) -> list[Certificate]:
    """Every certificate in PEM or DER ``data``, in order. Raises BadInput, which names ``where``, for none."""
    try:
        if found := _PEM.findall(data):
            return [checked(ssl.PEM_cert_to_DER_cert(_plain(block))) for block in found]
        return [checked(data)]
    except ValueError:
        raise BadInput(f"{where} has no X.509 certificate in PEM or DER", hint="give a certificate or a chain") from None


def _plain(block: bytes) -> str:
    return block.replace(b"X509 CERTIFICATE", b"CERTIFICATE").decode("ascii", "replace")


def checked(der: bytes) -> Certificate:
    """The certificate, with every field parsed. Raises ValueError."""
    certificate = Certificate(der)
    try:
        with _unwarned():
            _ = certificate.parsed.extensions, certificate.key_bytes, certificate.serial
    except UNREADABLE as error:
        raise ValueError(str(error)) from None
    return certificate


def readable(ders: Iterable[bytes]) -> list[Certificate]:
    """Those of ``ders`` that can be parsed (Starfield's root has the serial number 0, which newer parsers refuse)."""
    found = []
    for der in ders:
        try:
            found.append(checked(der))
        except ValueError:
            continue
    return found


def name_text(name: x509.Name) -> str:
    return printable(name.rfc4514_string()) or "(no name)"


def printable(text: str) -> str:
    """``text`` without control characters: whoever made the certificate chose every character of it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def colons(data: bytes) -> str:
    return data.hex(":").upper()
