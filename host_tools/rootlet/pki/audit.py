"""Audits a fleet's certificates: expiry, weak keys and signatures, and keys or serial numbers that repeat."""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rootlet.errors import BadInput
from rootlet.pki import batch, batch_parts
from rootlet.pki.certificates import UNREADABLE, key_name, whole
from rootlet.pki.subject import show_name
from rootlet.words import number_of

Kind = Literal["expired", "expires", "weak-key", "weak-signature", "reused-key", "duplicate-serial", "unreadable"]

_SUFFIXES = {".crt", ".cer", ".pem", ".der"}
_BATCH_PART = ".jsonl"
_STRONG_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@dataclass(frozen=True)
class Found:
    """A certificate, and the first file that it was found in."""

    certificate: x509.Certificate
    where: Path


@dataclass(frozen=True)
class CertificateFinding:
    """One fault: its kind, the certificate's subject, the file, and the detail."""

    kind: Kind
    subject: str
    where: str
    detail: str


@dataclass(frozen=True)
class AuditReport:
    """The number of different certificates, and the findings about them."""

    certificates: int
    findings: tuple[CertificateFinding, ...]


def audit(paths: Sequence[Path], *, within: int, now: dt.datetime | None = None) -> AuditReport:
    """The findings about every certificate in ``paths`` (files, and directories with all below them; batches too).

    A certificate that expires in the next ``within`` days is a finding, and so is a file with a certificate's suffix and
    no certificate in it. Raises BadInput for a path that does not exist.
    """
    now = now or dt.datetime.now(dt.UTC)
    found: dict[bytes, Found] = {}
    findings: list[CertificateFinding] = []
    for file in itertools.chain.from_iterable(map(_files, paths)):
        try:
            for certificate in _certificates(file):
                found.setdefault(certificate.fingerprint(hashes.SHA256()), Found(certificate, file))
        except (*UNREADABLE, KeyError, OSError, BadInput) as error:
            reason = error.what if isinstance(error, BadInput) else "no certificate can be read from it"
            findings.append(CertificateFinding("unreadable", "-", str(file), reason))
    everything = list(found.values())
    for one in everything:
        findings.extend(_alone(one, now, dt.timedelta(days=within)))
    findings.extend(_reused_keys(everything))
    findings.extend(_duplicate_serials(everything))
    return AuditReport(len(everything), tuple(findings))


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if _holds_certificates(file) and file.is_file())
    elif path.exists():
        yield path
    else:
        raise BadInput(f"nothing to audit at {path}", hint="give a file, or a directory with certificates")


def _holds_certificates(file: Path) -> bool:
    """By its name. Other .jsonl files, such as the journal of a registration, lie in a batch as well."""
    return file.suffix in _SUFFIXES or batch_parts.is_part(file)


def _certificates(file: Path) -> Iterable[x509.Certificate]:
    if file.suffix == _BATCH_PART:
        return batch_parts.certificates_in(file, batch.devices_in(file))
    data = file.read_bytes()
    if b"-----BEGIN" not in data:
        return [whole(x509.load_der_x509_certificate(data))]
    if b"-----BEGIN CERTIFICATE-----" not in data and file.suffix == ".pem":
        return []  # a key or a request: no certificate to audit
    return list(map(whole, x509.load_pem_x509_certificates(data)))


def _alone(found: Found, now: dt.datetime, within: dt.timedelta) -> Iterator[CertificateFinding]:
    certificate = found.certificate
    ends = certificate.not_valid_after_utc
    if ends < now:
        yield _finding("expired", found, f"on {ends:%Y-%m-%d}")
    elif ends < now + within:
        yield _finding("expires", found, f"on {ends:%Y-%m-%d}, in {number_of((ends - now).days, 'day')}")
    if weakness := _weakness(certificate):
        yield _finding("weak-key", found, weakness)
    algorithm = _signature_hash(certificate)
    if algorithm in ("md5", "sha1"):
        yield _finding("weak-signature", found, f"signed with {algorithm.upper()}")


def _weakness(certificate: x509.Certificate) -> str | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unsupported kind of key"
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048:
            return f"RSA of {key.key_size} bits"
        exponent = key.public_numbers().e
        return f"RSA with exponent {exponent}" if exponent < 65537 else None
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if isinstance(key.curve, _STRONG_CURVES) else f"curve {key.curve.name}"
    return f"{key_name(key)}: AWS IoT accepts EC and RSA only"


def _signature_hash(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return ""
    return algorithm.name if algorithm else ""


def _reused_keys(everything: Sequence[Found]) -> Iterator[CertificateFinding]:
    for group in _groups(everything, _public_key_bytes):
        subjects = {show_name(one.certificate.subject) for one in group}
        how = "a renewal with the same key" if len(subjects) == 1 else "different subjects"
        for one in group:
            yield _finding("reused-key", one, f"{len(group)} certificates share this key ({how})")


def _duplicate_serials(everything: Sequence[Found]) -> Iterator[CertificateFinding]:
    def serial(one: Found) -> bytes:
        return one.certificate.issuer.public_bytes() + one.certificate.serial_number.to_bytes(32, "big", signed=True)

    for group in _groups(everything, serial):
        for one in group:
            number = f"{one.certificate.serial_number:x}"
            yield _finding("duplicate-serial", one, f"{len(group)} certificates of one issuer have serial {number}")


def _groups(everything: Sequence[Found], key: Callable[[Found], bytes | None]) -> Iterator[list[Found]]:
    groups: dict[bytes, list[Found]] = defaultdict(list)
    for one in everything:
        if (value := key(one)) is not None:
            groups[value].append(one)
    return (group for group in groups.values() if len(group) > 1)


def _public_key_bytes(found: Found) -> bytes | None:
    try:
        return found.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _finding(kind: Kind, found: Found, detail: str) -> CertificateFinding:
    return CertificateFinding(kind, show_name(found.certificate.subject), str(found.where), detail)
