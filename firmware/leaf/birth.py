# An identity that is made on the board: its key never leaves it. The host asks for a request at the prompt, has it
# certified, and brings the certificate (rootlet device csr, rootlet flash --certificate).
#
# The key lies first in esp_secure_cert, the certificate behind it. An entry's header is written last, and nothing is erased
# that holds a key: whenever the power fails, the same call again completes it.
import binascii

from esp32 import Partition

from . import credentials, csr, keypair, p256
from .faults import Fault

_BLOCK = const(4096)
_CERTIFICATE = const(1)
_KEY = const(2)
_MAGIC = const(b"\x11\xba\x5e\xba\x00\x00\x00\x00")
_SEC1 = const(b"\x30\x77\x02\x01\x01\x04\x20")  # how ECPrivateKey of P-256 begins, with its public half
_KEY_SIZE = const(121)


def request(thing):
    """A request for a certificate for the board's key, PEM; the first time the key is made. Raises Fault.

    The same request the next time, until there is a certificate. The radio is switched on for the random numbers.
    """
    partition = _partition()
    secret = _secret(partition)
    if secret is None:
        _check_erased(partition)
        secret = keypair.generate(_radio())
        public = p256.multiply(secret)
        _write(partition, 0, _entry(_KEY, keypair.sec1(secret, public)))
    else:
        public = p256.multiply(secret)
        if _is_there(partition, _size(_KEY_SIZE)):
            raise Fault("credentials", "the board has an identity already")
    return csr.pem(csr.request(secret, public, thing))


def certified(pem):
    """Take the certificate (PEM) for the board's key; return its thing name. Raises Fault, with nothing written."""
    partition = _partition()
    secret = _secret(partition)
    if secret is None:
        raise Fault("credentials", "the board has made no key: no certificate can be for it")
    body = pem[pem.find("\n") : pem.find("-----END")]
    der = binascii.a2b_base64(body.replace("\n", "").replace("\r", ""))
    thing = credentials.Credentials(der, keypair.sec1(secret, p256.multiply(secret))).thing  # or key-mismatch
    _write(partition, _size(_KEY_SIZE), _entry(_CERTIFICATE, der))
    return thing


def _partition():
    found = Partition.find(0x3F, label="esp_secure_cert")
    if not found:
        raise Fault("credentials", "no partition esp_secure_cert")
    return found[0]


def _radio():
    import network

    station = network.WLAN(network.STA_IF)
    station.active(True)
    return station.active()


def _secret(partition):
    # The board's own key, or None where no entry begins.
    if not _is_there(partition, 0):
        return None
    head = _read(partition, 0, _size(_KEY_SIZE))
    key = head[12 : 12 + _KEY_SIZE]
    if head[8] != _KEY or not key.startswith(_SEC1) or head != _entry(_KEY, key):
        raise Fault("credentials", "the board has credentials that it did not make itself")
    return int.from_bytes(key[7:39], "big")


def _is_there(partition, at):
    return _read(partition, at, 8) == _MAGIC


def _check_erased(partition):
    # What a power cut left of a key that was about to be written goes; anything else was somebody's.
    size = _size(_KEY_SIZE)
    erased = _read(partition, 0, 4) in (b"\xff" * 4, _MAGIC[:4])
    for at in range(size, partition.info()[3], 512):
        part = _read(partition, at, min(512, partition.info()[3] - at))
        erased = erased and part.count(b"\xff") == len(part)
    if not erased:
        raise Fault("credentials", "esp_secure_cert is not empty, and holds no key that this board made")
    if _read(partition, 0, size).count(b"\xff") != size:
        partition.ioctl(6, 0)


def _write(partition, at, entry):
    # Programming clears bits only, so what was written before, of the same, does no harm.
    _program(partition, at + 12, entry[12:])
    _program(partition, at, entry[:12])
    if _read(partition, at, len(entry)) != entry:
        raise Fault("credentials", "esp_secure_cert has remains of something else: the same certificate as before fits")


def _entry(kind, data):
    entry = _MAGIC + bytes((kind, 0, len(data) & 0xFF, len(data) >> 8)) + data
    entry += bytes(-len(data) % 16)
    return bytearray(entry + binascii.crc32(entry, 0xFFFFFFFF).to_bytes(4, "little"))


def _size(length):
    return 12 + (length + 15 & ~15) + 4


def _program(partition, at, data):
    while data:
        count = min(len(data), _BLOCK - at % _BLOCK)
        partition.writeblocks(at // _BLOCK, data[:count], at % _BLOCK)
        at, data = at + count, data[count:]


def _read(partition, at, size):
    data = bytearray(size)
    done = 0
    while done < size:
        count = min(size - done, _BLOCK - (at + done) % _BLOCK)
        partition.readblocks((at + done) // _BLOCK, memoryview(data)[done : done + count], (at + done) % _BLOCK)
        done += count
    return data
