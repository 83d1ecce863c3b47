"""What a maker's own MicroPython would be: an official one that says it was built for flash encryption, and signed.

It is no such build: nobody could run it on a chip with these features. It has what a host can see of one.
"""

import functools
import io
import re
import tempfile
from pathlib import Path

import espsecure
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from esptool.logger import log
from rootlet.board import micropython

from support import official
from support.flashkit import rehash

MARK = b"flash_encrypt\0"
RELEASES = {"esp32": "esp32-1.26.1", "esp32c3": "c3-1.27.0"}
"""By chip: the release that the build is made of."""


@functools.cache
def signing_key() -> rsa.RSAPrivateKey:
    """A throw-away RSA-3072 key, made once."""
    return rsa.generate_private_key(65537, 3072)


def private_pem() -> bytes:
    return signing_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem() -> bytes:
    return signing_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@functools.cache
def own_build(chip: str) -> bytes:
    """The .bin of such a build. Skips the test where the official binary is not to be had."""
    firmware = bytearray(official.get(RELEASES[chip]))
    found = micropython.read(bytes(firmware))
    start = found.application_partition.offset - found.offset
    place = re.compile(rb"[ -~]{%d,}\0" % len(MARK)).search(firmware, start + 0x1000)
    assert place is not None
    firmware[place.end() - len(MARK) : place.end()] = MARK
    rehash(firmware, chip, start)
    signed = firmware + b"\xff" * 0x2000
    for offset, size in ((0, found.bootloader.size), (start, found.application.size)):
        image = _signed(bytes(firmware[offset : offset + size]))
        signed[offset : offset + len(image)] = image
    return bytes(signed)


def _signed(image: bytes) -> bytes:
    log.set_verbosity("silent")
    with tempfile.TemporaryDirectory() as scratch:
        plain, output = Path(scratch, "plain"), Path(scratch, "signed")
        plain.write_bytes(image)
        with plain.open("rb") as data:
            key = io.BytesIO(private_pem())
            espsecure.sign_secure_boot_v2([key], str(output), False, False, None, [], [], data)
        return output.read_bytes()


@functools.cache
def another_public_pem() -> bytes:
    """The public half of another maker's key."""
    return rsa.generate_private_key(65537, 3072).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
