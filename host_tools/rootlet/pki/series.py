"""Device certificates in a row: the library makes the first, and the others take over what they share with it.

``CertificateBuilder`` encodes every field of every certificate. In a batch only the serial number, the subject and the key
with its identifier differ; the DER of all other fields is copied from the first certificate.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from asn1crypto.parser import emit, parse, peek
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rootlet.pki import certificates
from rootlet.pki.certificates import SERIAL_BYTES, Issuer, PrivateKey, PublicKey

_INTEGER, _BIT_STRING, _SEQUENCE = 2, 3, 16  # universal tags, X.680 §8.4


class DeviceSeries:
    """``certificates.device`` for many devices, as DER.

    They share notBefore and notAfter: use an object for one run, not for a day.
    """

    def __init__(self, issuer: Issuer, *, days: int) -> None:
        self._issuer = issuer
        self._days = days
        self._sign = _signer(issuer.key)
        self._frame: _Frame | None = None

    def certificate(self, subject: x509.Name, public_key: PublicKey) -> bytes:
        """The DER of a device's certificate."""
        if self._frame is None:
            first = certificates.device(subject, public_key, self._issuer, days=self._days)
            self._frame = _Frame.of(first)
            return first.public_bytes(Encoding.DER)
        to_be_signed = self._frame.fill(subject, public_key)
        signature = emit(0, 0, _BIT_STRING, b"\0" + self._sign(to_be_signed))
        return bytes(emit(0, 1, _SEQUENCE, to_be_signed + self._frame.algorithm + signature))


def _signer(key: PrivateKey) -> Callable[[bytes], bytes]:
    """What signs a certificate's DER with ``key``."""
    digest = certificates.digest_for(key)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return partial(key.sign, signature_algorithm=ec.ECDSA(digest))
    return partial(key.sign, padding=padding.PKCS1v15(), algorithm=digest)


@dataclass(frozen=True)
class _Frame:
    """The fields that certificates share: RFC 5280 §4.1, TBSCertificate in its order."""

    version: bytes
    algorithm: bytes
    issuer: bytes
    validity: bytes
    extensions: tuple[bytes, bytes]
    """Before and after the digest in the subject key identifier."""

    key_info: tuple[int, int]
    """The length of a SubjectPublicKeyInfo, and where the key begins in it."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "_Frame":
        version, _, algorithm, issuer, validity, _, info, extensions = _fields(certificate.tbs_certificate_bytes)
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        before, after = extensions.split(own)  # the hash of a new key: it occurs once
        key = parse(_fields(info)[1])[4][1:]  # behind the number of unused bits
        return cls(version, algorithm, issuer, validity, (before, after), (len(info), len(info) - len(key)))

    def fill(self, subject: x509.Name, public_key: PublicKey) -> bytes:
        before, after = self.extensions
        info = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        fields = (
            self.version,
            emit(0, 0, _INTEGER, certificates.serial_number().to_bytes(SERIAL_BYTES, "big")),
            self.algorithm,
            self.issuer,
            self.validity,
            subject.public_bytes(),
            info,
            # The digest is as long as the first one's, so the lengths around it stay.
            before,
            self._identifier(info, public_key),
            after,
        )
        return bytes(emit(0, 1, _SEQUENCE, b"".join(fields)))

    def _identifier(self, info: bytes, public_key: PublicKey) -> bytes:
        """The subject key identifier: RFC 5280 §4.2.1.2, method 1."""
        length, at = self.key_info
        if len(info) == length:  # the same kind of key: it begins where the first one's does
            return hashlib.sha1(info[at:], usedforsecurity=False).digest()
        return x509.SubjectKeyIdentifier.from_public_key(public_key).digest


def _fields(sequence: bytes) -> list[bytes]:
    content, fields = parse(sequence)[4], []
    while content:
        length = peek(content)
        fields.append(content[:length])
        content = content[length:]
    return fields
