"""Reads the certificates of pre-provisioned devices from a PEM bundle, a CSV, or Microchip's signed manifest."""

import base64
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.certificates import UNREADABLE, is_authority, whole
from rootlet.pki.columns import places
from rootlet.pki.identity import PublicIdentity, common_name

COLUMNS = ("certificate", "thing")
NONE: Mapping[str, str] = {}


def read(path: Path, signers: Sequence[x509.Certificate] = (), columns: Mapping[str, str] = NONE) -> list[PublicIdentity]:
    """The devices in a manifest of any of the three formats. ``signers`` may sign a Microchip manifest.

    ``columns`` are the headers in a CSV that calls certificate and thing otherwise. Raises BadInput, which names the entry,
    before anything is registered.
    """
    data = read_input(path, "manifest")
    if columns:
        found = list(_csv(data, path, columns))
    elif b"-----BEGIN CERTIFICATE-----" in data and not data.lstrip().startswith((b"[", b"{")) and not _is_csv(data):
        found = list(_bundle(data, path))
    elif data.lstrip().startswith(b"["):
        found = list(_microchip(data, path, signers))
    else:
        found = list(_csv(data, path, columns))
    if not found:
        raise BadInput(f"{path} has no device", hint="give a PEM bundle, a CSV with a header, or Microchip's JSON manifest")
    _no_twins(found, path)
    return found


def _is_csv(data: bytes) -> bool:
    return b"certificate" in data.partition(b"\n")[0].lower() and b"BEGIN" not in data.partition(b"\n")[0]


def _bundle(data: bytes, path: Path) -> Iterator[PublicIdentity]:
    # CA certificates in the file are the issuers of those that they signed.
    try:
        certificates = list(map(whole, x509.load_pem_x509_certificates(data)))
    except UNREADABLE:
        raise BadInput(f"{path}: a certificate is damaged", hint="give PEM certificates, whole") from None
    authorities = [certificate for certificate in certificates if is_authority(certificate)]
    for number, certificate in enumerate(certificates, 1):
        if certificate not in authorities:
            issuers = tuple(authority for authority in authorities if authority.subject == certificate.issuer)
            yield PublicIdentity(_thing(certificate, f"{path}, certificate {number}"), certificate, issuers)


def _csv(data: bytes, path: Path, columns: Mapping[str, str]) -> Iterator[PublicIdentity]:
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    header = next(rows, [])
    if not columns and "certificate" not in header:
        raise BadInput(
            f"{path} has no column certificate",
            hint="use the columns certificate (PEM, base64 of DER, or a file) and thing, or say --column certificate=HEADER",
        )
    defaults = {name: name for name in COLUMNS if name == "certificate" or name in header}
    where = places(path, header, {**defaults, **columns})
    for number, row in enumerate(rows, 2):
        if not any(row):
            continue
        at = f"{path}, row {number}"
        cells = {name: row[index] if index < len(row) else "" for name, index in where.items()}
        certificate = _cell(cells["certificate"], path.parent, at)
        yield PublicIdentity(_thing(certificate, at, cells.get("thing", "").strip()), certificate)


def _cell(text: str, directory: Path, where: str) -> x509.Certificate:
    text = text.strip()
    try:
        if text.startswith("-----BEGIN"):
            return whole(x509.load_pem_x509_certificate(text.replace("\\n", "\n").encode()))
        if len(text) < 255 and (directory / text).is_file():
            data = (directory / text).read_bytes()
            return whole(
                x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
            )
        return whole(x509.load_der_x509_certificate(base64.b64decode(text, validate=True)))
    except UNREADABLE:
        raise BadInput(
            f"{where}: the column certificate has no certificate", hint="give PEM, DER as base64, or the name of a file"
        ) from None


def _microchip(data: bytes, path: Path, signers: Sequence[x509.Certificate]) -> Iterator[PublicIdentity]:
    # Microchip's secure element manifest: a list of JWS objects (RFC 7515, flattened), one a chip, signed with ES256.
    if not signers:
        raise BadInput(
            f"{path} is a signed manifest", hint="give the signer's certificate, from Microchip's site: --signer CERTIFICATE"
        )
    try:
        entries = json.loads(data)
    except ValueError:
        raise BadInput(f"{path} is not valid JSON", hint="give the manifest unchanged") from None
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        payload = _verified(entry, signers, where)
        for key in payload.get("publicKeySet", {}).get("keys", []):
            if chain := key.get("x5c"):
                try:
                    certificates = [whole(x509.load_der_x509_certificate(base64.b64decode(one))) for one in chain]
                except UNREADABLE:
                    raise BadInput(f"{where}: a certificate in x5c is damaged", hint="get the manifest again") from None
                thing = _thing(certificates[0], where, str(payload.get("uniqueId") or ""))
                yield PublicIdentity(thing, certificates[0], tuple(certificates[1:]))


def _verified(entry: Any, signers: Sequence[x509.Certificate], where: str) -> dict[str, Any]:
    try:
        signed = f"{entry['protected']}.{entry['payload']}".encode()
        raw = _decode(entry["signature"])
        header = json.loads(_decode(entry["protected"]))
        payload = json.loads(_decode(entry["payload"]))
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"{where}: no JWS object", hint="give the manifest unchanged") from None
    if header.get("alg") != "ES256" or len(raw) != 64:
        raise BadInput(f"{where}: the signature is {header.get('alg')}, not ES256", hint="get the manifest again")
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    for signer in signers:
        key = signer.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey):
            try:
                key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            except InvalidSignature:
                continue
            found: dict[str, Any] = payload
            return found
    raise BadInput(f"{where}: no --signer made the signature", hint="check --signer, and that the manifest is unchanged")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _thing(certificate: x509.Certificate, where: str, given: str = "") -> str:
    """The thing name: the one that is given beside the certificate, or its common name."""
    if not given and not certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        raise BadInput(f"{where}: the certificate has no common name for the thing", hint="add a column thing")
    try:
        return aws_names.check(Name.THING, given or common_name(certificate))
    except BadInput as error:
        raise BadInput(f"{where}: {error.what}", hint=error.hint) from None


def _no_twins(found: Sequence[PublicIdentity], path: Path) -> None:
    things: set[str] = set()
    for device in found:
        if device.thing in things:
            raise BadInput(f"{path} has thing {device.thing} twice", hint="remove one of the two")
        things.add(device.thing)
