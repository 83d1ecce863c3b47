# The device's identity: certificate and key out of the partition `esp_secure_cert`, in Espressif's TLV format.
import binascii
import hashlib

from esp32 import Partition

from . import keys, x509
from .faults import Fault

_LABEL = const("esp_secure_cert")
_TYPE = const(0x3F)
_MAGIC = const(b"\x11\xba\x5e\xba")
_CERTIFICATE = const(1)
_KEY = const(2)
_DS_DATA = const(3)  # an RSA key for the chip's DS peripheral
_USER_DATA = const(51)
_THING = const(b"thing:")  # before a thing's name, where the certificate does not have it
_LONGEST_NOTE = const(134)
_KEY_ELSEWHERE = const(0xC8)  # flags of a key that eFuses hold, encrypt or derive
_BLOCK = const(4096)


class Credentials:
    """certificate and key in DER; thing is the certificate's common name; id is what AWS IoT calls the certificate."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.key = key
        try:
            self.issuer, self.thing = x509.names(certificate)
            public = keys.public_bytes(certificate)
        except (ValueError, IndexError):
            raise Fault("credentials", "the device certificate cannot be read")
        if not self.thing:
            raise Fault("credentials", "the device certificate has no common name, which should name the thing")
        # An EC key may leave its public half out; then only the handshake can tell.
        holds_public = public[0] != 0x04 or key.find(b"\x03\x42\x00\x04") >= 0
        if holds_public and key.find(public) < 0:
            raise Fault("key-mismatch", "the private key in flash is not the one of certificate " + self.thing)
        self.id = binascii.hexlify(hashlib.sha256(certificate).digest()).decode()


def load():
    """Read the factory identity. Raises Fault."""
    found = Partition.find(_TYPE, label=_LABEL)
    if not found:
        raise Fault("credentials", "no partition esp_secure_cert")
    parts = _read_entries(found[0])
    for kind, what in ((_CERTIFICATE, "certificate"), (_KEY, "private key")):
        if kind not in parts:
            raise Fault("credentials", "no device %s in esp_secure_cert" % what)
    identity = Credentials(parts[_CERTIFICATE], parts[_KEY])
    if _USER_DATA in parts and parts[_USER_DATA].startswith(_THING):
        identity.thing = parts[_USER_DATA][len(_THING) :].decode()
    return identity


def _read_entries(partition):
    # type -> DER, of what is used: the rest stays in flash. Of several the highest subtype counts. The first
    # header without magic ends them: erased flash, or the mark that Espressif's --append-integrity leaves.
    size = partition.info()[3]
    found = {}
    at = 0
    while at + 16 <= size:
        header = _read(partition, at, 12)
        if header[:4] != _MAGIC:
            break
        kind = _KEY if header[8] == _DS_DATA else header[8]
        length = header[10] | header[11] << 8
        end = at + 12 + (length + 15 & ~15) + 4
        if end > size:
            raise Fault("credentials", "esp_secure_cert is truncated: an entry of %d bytes does not fit" % length)
        if kind == _USER_DATA and length > _LONGEST_NOTE:
            kind = None  # somebody else's
        if kind in (_CERTIFICATE, _KEY, _USER_DATA) and (kind not in found or header[9] >= found[kind][0][9]):
            found[kind] = header, at, length
        at = end
    if at == 0:
        empty = header[:4] == b"\xff\xff\xff\xff"
        raise Fault(
            "credentials", "esp_secure_cert is empty" if empty else "esp_secure_cert is damaged: no TLV begins there"
        )
    return {kind: _der(_entry(partition, *found[kind])) for kind in found}


def _entry(partition, header, at, length):
    if header[8] == _DS_DATA or (header[8] == _KEY and header[4] & _KEY_ELSEWHERE):
        raise Fault("credentials", "the private key is kept in eFuses, which MicroPython cannot use")
    padded = length + 15 & ~15
    entry = _read(partition, at + 12, padded + 4)
    crc = binascii.crc32(memoryview(entry)[:padded], binascii.crc32(header, 0xFFFFFFFF))
    if crc != int.from_bytes(entry[padded:], "little"):
        raise Fault("credentials", "esp_secure_cert has a bad CRC in the entry at byte %d" % at)
    return bytes(memoryview(entry)[:length])


def _read(partition, at, length):
    data = bytearray(length)
    partition.readblocks(at // _BLOCK, data, at % _BLOCK)
    return data


def _der(data):
    # Espressif's tools write PEM with a final NUL as readily as DER; the Unix port's mbedTLS takes DER only.
    if not data.startswith(b"-----"):
        return data
    body = data[data.find(b"\n") : data.find(b"-----END")]
    try:
        return binascii.a2b_base64(body.replace(b"\n", b"").replace(b"\r", b""))
    except ValueError:
        raise Fault("credentials", "esp_secure_cert holds a damaged PEM")
