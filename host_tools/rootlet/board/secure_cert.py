"""The credential partition: Espressif's ``esp_secure_cert`` TLV format, so that its tools read ours and we read theirs.

An entry is a header of 12 bytes (magic, flags, 3 reserved, type, subtype, length), the data, zeros up to a multiple of
16, and a CRC-32 over all of that. Entries follow one another from offset 0; erased flash (0xFF) ends them.
"""

import enum
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.board.partitions import SECURE_CERT_SIZE
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import UNREADABLE, whole
from rootlet.pki.identity import DeviceIdentity, common_name

SIZE = SECURE_CERT_SIZE

_HEADER = struct.Struct("<IB3sBBH")
_MAGIC = 0xBA5EBA11
MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
ALIGNMENT = 16
"""Every entry, header and checksum included, takes a multiple of so many bytes."""
_CRC_START = 0xFFFFFFFF  # esp_secure_cert_mgr starts its CRC here; zlib then begins from zero
_KEY_ELSEWHERE = 0b1100_1000  # flags: the key is encrypted by, derived from, or lies in eFuses


class Type(enum.IntEnum):
    """The entries that Rootlet writes."""

    CA_CERTIFICATE = 0
    DEVICE_CERTIFICATE = 1
    PRIVATE_KEY = 2


@dataclass(frozen=True)
class Entry:
    """One TLV. The repr never shows the data: it may be a private key."""

    type: int
    data: bytes = field(repr=False)
    subtype: int = 0
    flags: int = 0


def encode(entries: Sequence[Entry]) -> bytes:
    """The partition's bytes, ``SIZE`` long. Raises RootletError where the entries do not fit."""
    partition = b"".join(map(_encode_entry, entries))
    if len(partition) > SIZE:
        raise RootletError(
            f"the credentials take {len(partition)} bytes, the partition has {SIZE}",
            hint="use an EC key, or leave out the issuer's certificate",
        )
    return partition.ljust(SIZE, b"\xff")


def decode(partition: bytes) -> tuple[Entry, ...]:
    """Read a partition. Raises RootletError for one that is empty or damaged."""
    entries = []
    offset = 0
    while offset + 4 <= len(partition) and partition[offset : offset + 4] != b"\xff\xff\xff\xff":
        entry, offset = _decode_entry(partition, offset)
        entries.append(entry)
    if not entries:
        raise RootletError("the credential partition is empty", hint="write an identity to the board")
    return tuple(entries)


def from_identity(identity: DeviceIdentity) -> bytes:
    """The partition of a device: its certificate, its key, and its issuer's certificate where known, all in DER."""
    entries = [
        Entry(Type.DEVICE_CERTIFICATE, identity.certificate_der()),
        Entry(Type.PRIVATE_KEY, identity.key_der()),
    ]
    if identity.issuers:
        entries.append(Entry(Type.CA_CERTIFICATE, identity.issuers[0].public_bytes(Encoding.DER)))
    return encode(entries)


def to_identity(partition: bytes) -> DeviceIdentity:
    """The identity in a partition, whether its parts are DER or PEM.

    Raises RootletError where certificate or key is missing, cannot be read, or they do not belong together.
    """
    parts = {entry.type: entry for entry in decode(partition)}
    certificate, issuers = _certificates(parts)
    if Type.PRIVATE_KEY not in parts:
        raise _lacks(Type.PRIVATE_KEY)
    if parts[Type.PRIVATE_KEY].flags & _KEY_ELSEWHERE:
        raise RootletError(
            "the private key is kept in the chip's eFuses", hint="stock MicroPython cannot use it; see the docs"
        )
    key = _private_key(parts[Type.PRIVATE_KEY].data)
    if key.public_key() != certificate.public_key():
        raise RootletError(
            "the private key in the credential partition is not the certificate's", hint="write the identity again"
        )
    return DeviceIdentity(common_name(certificate), certificate, key, issuers)


def to_certificates(partition: bytes) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The device's certificate and its issuers, where the key is of no interest or cannot be read. Raises RootletError."""
    return _certificates({entry.type: entry for entry in decode(partition)})


def _certificates(parts: Mapping[int, Entry]) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    if Type.DEVICE_CERTIFICATE not in parts:
        raise _lacks(Type.DEVICE_CERTIFICATE)
    issuers = (_certificate(parts[Type.CA_CERTIFICATE].data),) if Type.CA_CERTIFICATE in parts else ()
    return _certificate(parts[Type.DEVICE_CERTIFICATE].data), issuers


def _lacks(kind: Type) -> RootletError:
    what = kind.name.lower().replace("_", " ")
    return RootletError(f"the credential partition has no {what}", hint="write an identity to the board")


def _encode_entry(entry: Entry) -> bytes:
    body = _HEADER.pack(_MAGIC, entry.flags, bytes(3), entry.type, entry.subtype, len(entry.data)) + entry.data
    body += bytes(-len(entry.data) % ALIGNMENT)
    return body + struct.pack("<I", zlib.crc32(body, _CRC_START))


def _decode_entry(partition: bytes, offset: int) -> tuple[Entry, int]:
    damaged = f"the credential partition is damaged at offset 0x{offset:x}"
    if offset + _HEADER.size > len(partition):
        raise RootletError(f"{damaged}: it ends inside an entry", hint="write the identity again")
    magic, flags, _, kind, subtype, length = _HEADER.unpack_from(partition, offset)
    if magic != _MAGIC:
        raise RootletError(f"{damaged}: no TLV begins here", hint="write the identity again")
    start = offset + _HEADER.size
    end = start + length + -length % ALIGNMENT
    if end + 4 > len(partition):
        raise RootletError(f"{damaged}: an entry of {length} bytes does not fit", hint="write the identity again")
    if zlib.crc32(partition[offset:end], _CRC_START) != int.from_bytes(partition[end : end + 4], "little"):
        raise RootletError(f"{damaged}: the CRC does not match", hint="write the identity again")
    return Entry(kind, partition[start : start + length], subtype, flags), end + 4


def _certificate(data: bytes) -> x509.Certificate:
    try:
        if data.startswith(b"-----"):
            return whole(x509.load_pem_x509_certificate(data.rstrip(b"\0")))
        return whole(x509.load_der_x509_certificate(data))
    except UNREADABLE:
        raise RootletError("a certificate in the credential partition cannot be read", hint="write it again") from None


def _private_key(data: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        if data.startswith(b"-----"):
            key = serialization.load_pem_private_key(data.rstrip(b"\0"), None)
        else:
            key = serialization.load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RootletError("the private key in the credential partition cannot be read", hint="write it again") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadInput(f"the credential partition holds a {type(key).__name__}", hint="use an EC or RSA key")
    return key
