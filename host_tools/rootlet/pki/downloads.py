"""A certificate and its key as AWS IoT hands them out: a few PEM files, in a directory or a ZIP archive.

The console names them after the certificate's ID, its connection package after the thing, and ``aws iot
create-keys-and-certificate`` as the user likes (AWS IoT Core: create AWS IoT client certificates). So the names do not
count: of all certificates and keys that are there, the two that belong together are taken.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki import keys
from rootlet.pki.certificates import UNREADABLE, PrivateKey, is_authority, supported_public_key, whole

_LARGEST = 64 * 1024  # bytes: AWS IoT's certificatePem has at most so many characters
_ZIP = b"PK\x03\x04"


def is_download(data: bytes) -> bool:
    """Whether a file of this content is of this kind: an archive, or a PEM file."""
    return data.startswith(_ZIP) or data.lstrip().startswith(b"-----BEGIN ")


def read(path: Path) -> tuple[x509.Certificate, PrivateKey | None]:
    """The device's certificate in a directory, a ZIP archive or a PEM file, and its key where that is there, too.

    Beside a PEM file its directory is looked at. Root certificates are passed over. Raises BadInput where there is no
    certificate, or several.
    """
    files = list(_files(path))
    certificates = {found for _, data in files for found in _certificates(data)}
    private = [key for _, data in files if (key := _key(data))]
    if path.is_file() and not zipfile.is_zipfile(path):
        certificates &= set(_certificates(read_input(path, "certificate")))
    if not certificates:
        raise BadInput(f"{path} has no device's certificate", hint="give what AWS IoT let you download, unchanged")
    pairs = [
        (certificate, key) for certificate in certificates for key in private if key.public_key() == certificate.public_key()
    ]
    if not pairs and len(certificates) == 1:
        if sealed := [name for name, data in files if _is_encrypted(data)]:
            raise BadInput(f"{sealed[0]} is encrypted", hint=f"decrypt it: openssl pkcs8 -in {sealed[0]} -out device.key")
        return certificates.pop(), None
    if len({certificate for certificate, _ in pairs}) != 1:
        raise BadInput(f"{path} has the certificates of several devices", hint="name one of the PEM files")
    return pairs[0]


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the small files."""
    if path.is_dir() or not zipfile.is_zipfile(path):
        directory = path if path.is_dir() else path.absolute().parent
        for file in sorted(directory.iterdir()):
            if file.is_file() and file.stat().st_size <= _LARGEST:
                yield file.name, read_input(file, "file of the download")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size <= _LARGEST and not member.is_dir():
                    yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:
        raise BadInput(f"{path} cannot be unpacked: {error}", hint="download it again, without a password") from None


def _certificates(data: bytes) -> list[x509.Certificate]:
    """The end entities' certificates in a PEM file."""
    if b"-----BEGIN CERTIFICATE-----" not in data:
        return []
    try:
        found = list(map(whole, x509.load_pem_x509_certificates(data)))
    except UNREADABLE:
        return []
    return [certificate for certificate in found if not is_authority(certificate)]


def _key(data: bytes) -> PrivateKey | None:
    if b"PRIVATE KEY-----" not in data or _is_encrypted(data):
        return None
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, UnsupportedAlgorithm):  # its text could quote the file's content
        return None
    supported_public_key(key.public_key())
    assert isinstance(key, keys.KINDS)
    return key


def _is_encrypted(data: bytes) -> bool:
    return b"BEGIN ENCRYPTED PRIVATE KEY" in data or b"Proc-Type: 4,ENCRYPTED" in data
