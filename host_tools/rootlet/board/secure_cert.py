"""The credential partition: Espressif's ``esp_secure_cert`` TLV format, so that its tools read ours and we read theirs.

An entry is a header of 12 bytes (magic, flags, 3 reserved, type, subtype, length), the data, zeros up to a multiple of
16, and a CRC-32 over all of that. Entries follow one another from offset 0. The first four bytes that are not the magic
end them: erased flash, or the mark 0x0000FFFF that ``configure_esp_secure_cert.py --append-integrity`` leaves
(esp_secure_cert/tlv_format_construct.py). Of several entries of one type the highest subtype counts
(esp_secure_cert_mgr, srcs/esp_secure_cert_tlv_read.c). Entries of other types are passed over.
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
from rootlet.pki.identity import DeviceIdentity, common_name, names
from rootlet.pki.subject import check_thing_name

SIZE = SECURE_CERT_SIZE

_HEADER = struct.Struct("<IB3sBBH")
_MAGIC = 0xBA5EBA11
MAGIC_BYTES = _MAGIC.to_bytes(4, "little")
ALIGNMENT = 16
"""Every entry, header and checksum included, takes a multiple of so many bytes."""
_CRC_START = 0xFFFFFFFF  # esp_secure_cert_mgr starts its CRC here; zlib then begins from zero
_KEY_ELSEWHERE = 0b1100_1000  # flags: the key is encrypted by, derived from, or lies in eFuses
_ENDS = (b"\xff\xff\xff\xff", b"\xff\xff\0\0")
KEY_IN_EFUSES = "the private key is kept in the chip's eFuses"


class Type(enum.IntEnum):
    """The entries that Rootlet writes, and those that stand in place of a private key."""

    CA_CERTIFICATE = 0
    DEVICE_CERTIFICATE = 1
    PRIVATE_KEY = 2
    DS_DATA = 3
    """An RSA key, encrypted for the chip's Digital Signature peripheral."""
    USER_DATA_1 = 51
    """Whatever its writer wants (esp_secure_cert/tlv_format.py). Rootlet's begins with ``THING``."""


THING = b"thing:"
"""Where the certificate does not name the thing: what its name follows, in ``USER_DATA_1``."""


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
    """Every entry of a partition, in order. Raises RootletError for one that is empty or damaged."""
    entries = []
    offset = 0
    while offset < len(partition):
        if not partition.startswith(MAGIC_BYTES, offset):
            _check_end(partition, offset)
            break
        entry, offset = _decode_entry(partition, offset)
        entries.append(entry)
    if not entries and partition.strip(b"\xff"):
        raise _damaged(0, "no TLV begins here")
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
    if not names(identity.certificate, identity.thing):
        entries.append(Entry(Type.USER_DATA_1, THING + identity.thing.encode()))
    return encode(entries)


def to_identity(partition: bytes) -> DeviceIdentity:
    """The identity in a partition, whether its parts are DER or PEM.

    Raises RootletError where certificate or key is missing, cannot be read, or they do not belong together.
    """
    parts = _highest(decode(partition))
    certificate, issuers = _certificates(parts)
    if _is_elsewhere(parts):
        raise RootletError(KEY_IN_EFUSES, hint="stock MicroPython cannot use it; see the docs")
    if Type.PRIVATE_KEY not in parts:
        raise _lacks(Type.PRIVATE_KEY)
    key = _private_key(parts[Type.PRIVATE_KEY].data)
    if key.public_key() != certificate.public_key():
        raise RootletError(
            "the private key in the credential partition is not the certificate's", hint="write the identity again"
        )
    return DeviceIdentity(_thing(parts) or common_name(certificate), certificate, key, issuers)


def to_thing(partition: bytes) -> str | None:
    """The thing's name that stands in a partition beside the certificate. Raises RootletError."""
    return _thing(_highest(decode(partition)))


def _thing(parts: Mapping[int, Entry]) -> str | None:
    found = parts.get(Type.USER_DATA_1)
    if found is None or not found.data.startswith(THING):
        return None
    return check_thing_name(found.data.removeprefix(THING).decode(errors="replace"))


def to_certificates(partition: bytes) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The device's certificate and its issuers, where the key is of no interest or cannot be read. Raises RootletError."""
    return _certificates(_highest(decode(partition)))


def _highest(entries: Sequence[Entry]) -> dict[int, Entry]:
    return {entry.type: entry for entry in sorted(entries, key=lambda entry: entry.subtype)}


def _is_elsewhere(parts: Mapping[int, Entry]) -> bool:
    """Whether the device's key is bound to the chip's eFuses. There is no plain key beside one in the DS peripheral."""
    key, peripheral = parts.get(Type.PRIVATE_KEY), parts.get(Type.DS_DATA)
    if peripheral is not None and (key is None or key.subtype < peripheral.subtype):
        return True
    return key is not None and bool(key.flags & _KEY_ELSEWHERE)


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


def _check_end(partition: bytes, offset: int) -> None:
    """Raise RootletError where the bytes that end the entries are a damaged magic."""
    if partition[offset : offset + 4] in _ENDS:
        return
    try:
        _decode_entry(partition[:offset] + MAGIC_BYTES + partition[offset + 4 :], offset)
    except RootletError:
        return
    raise _damaged(offset, "an entry without its magic number")


def _damaged(offset: int, why: str) -> RootletError:
    return RootletError(
        f"the credential partition is damaged at offset 0x{offset:x}: {why}", hint="write the identity again"
    )


def _decode_entry(partition: bytes, offset: int) -> tuple[Entry, int]:
    """The entry whose magic is at ``offset``, and where it ends."""
    if offset + _HEADER.size > len(partition):
        raise _damaged(offset, "it ends inside an entry")
    _, flags, _, kind, subtype, length = _HEADER.unpack_from(partition, offset)
    start = offset + _HEADER.size
    end = start + length + -length % ALIGNMENT
    if end + 4 > len(partition):
        raise _damaged(offset, f"an entry of {length} bytes does not fit")
    if zlib.crc32(partition[offset:end], _CRC_START) != int.from_bytes(partition[end : end + 4], "little"):
        raise _damaged(offset, "the CRC does not match")
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
