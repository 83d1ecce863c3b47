"""Images for chips with flash encryption and secure boot: encrypted on the host with a board's own key, and signed.

What is encrypted follows ESP-IDF's bootloader (Flash Encryption: encrypted partitions): bootloader, partition table, every
application, otadata, NVS keys, and what the table flags as encrypted. The rest stays as it is. The cipher is espsecure's.
"""

import hashlib
import io
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import espsecure
from esptool.logger import log
from esptool.util import FatalError

from rootlet.board import flasher, micropython, partitions
from rootlet.board.chip import SECTOR
from rootlet.board.efuses import KEY_BYTES
from rootlet.board.flasher import Region
from rootlet.board.inspect_image import TABLE
from rootlet.board.partitions import TYPES, Partition
from rootlet.errors import BadInput

_CRYPT_CONFIG = 0xF  # what the plan burns into FLASH_CRYPT_CONFIG of an ESP32; later chips have no such setting
_OTADATA = (TYPES["data"], partitions.SUBTYPES[TYPES["data"]]["ota"])
_NVS_KEYS = (TYPES["data"], partitions.SUBTYPES[TYPES["data"]]["nvs_keys"])
# The log tag of ESP-IDF's flash_encrypt.c, which a build has only with CONFIG_SECURE_FLASH_ENC_ENABLED.
_ENCRYPTION_MARK = b"flash_encrypt\0"


@dataclass(frozen=True)
class SealedImage:
    """An image encrypted for one board. The repr shows neither key nor content."""

    key: bytes = field(repr=False)
    regions: tuple[Region, ...] = field(repr=False)
    credentials: Region = field(repr=False)
    chip: str

    @property
    def mark(self) -> str:
        """MD5, in hex, of the encrypted credentials: what the chip says that its flash holds there."""
        return hashlib.md5(self.credentials.data, usedforsecurity=False).hexdigest()

    def unsealed(self, data: bytes) -> bytes:
        """The plain credentials, as a chip with this key would read ``data`` in their place."""
        return _crypt(espsecure.decrypt_flash_data, self.chip, self.key, self.credentials.offset, data)


def new_key() -> bytes:
    """A key for the flash encryption of one board."""
    return secrets.token_bytes(KEY_BYTES)


def seal(flash: bytes, chip: str, key: bytes) -> SealedImage:
    """``flash``, which holds an identity, encrypted with ``key`` for a ``chip`` (esptool's name)."""
    sealed = bytearray(flash)
    for offset, size in _encrypted(flash):
        sealed[offset : offset + size] = _crypt(
            espsecure.encrypt_flash_data, chip, key, offset, flash[offset : offset + size]
        )
    regions = [Region(one.name, one.offset, bytes(sealed[one.offset : one.end])) for one in flasher.regions(flash)]
    (credentials,) = (one for one in regions if one.name == partitions.SECURE_CERT)
    return SealedImage(key, tuple(one for one in regions if one is not credentials), credentials, chip)


def check_encryption(flash: bytes, *, own_build: bool) -> None:
    """Raise BadInput where an image would not run, or would show its key, on a chip with flash encryption.

    ``own_build`` states that its MicroPython was built for it, where nothing in it says so.
    """
    place = partitions.find(_table(flash), partitions.SECURE_CERT)
    if not place.encrypted:
        raise BadInput(
            f"the partition table of this MicroPython has {place.label} without the flag encrypted",
            hint="add the flag to that line of its partition table",
        )
    code = [flash[:TABLE]] + [flash[one.offset : one.end] for one in _table(flash) if one.type == TYPES["app"]]
    if not own_build and not any(_ENCRYPTION_MARK in part for part in code):
        raise BadInput(
            "nothing in this image's MicroPython says that it was built for flash encryption: a stock build would not start",
            hint="build it with CONFIG_SECURE_FLASH_ENC_ENABLED (docs/own-build.md); if it was: --own-build",
        )


def check_signatures(flash: bytes, signing_key: bytes) -> None:
    """Raise BadInput where bootloader or application are not signed for secure boot v2 with ``signing_key`` (PEM)."""
    start = micropython.find(flash)
    if start is None:
        raise BadInput("this image has no bootloader that could be signed", hint="build it with --micropython")
    found = micropython.read(flash[start:])
    log.set_verbosity("silent")
    places = {"bootloader": (start, found.bootloader.size)}
    for place in found.partitions:
        if place.type == TYPES["app"] and flash[place.offset] != 0xFF:
            size = micropython.examine(flash[place.offset : place.end], found.chip).size
            places[f"application in {place.label}"] = (place.offset, size)
    for what, (offset, size) in places.items():
        end = offset + -(-size // SECTOR) * SECTOR + SECTOR  # the signature is in the sector behind
        try:
            espsecure.verify_signature_v2(False, None, io.BytesIO(signing_key), io.BytesIO(flash[offset:end]))
        except (FatalError, ValueError) as error:
            raise BadInput(
                f"the {what} is not signed with this signing key: {error}",
                hint="sign it with the key's private half, then build the image again (docs/own-build.md)",
            ) from None


def _encrypted(flash: bytes) -> Iterator[tuple[int, int]]:
    """Offset and size of what a chip decrypts. The erased rest of an application is left erased: nothing reads it."""
    start = micropython.find(flash)
    if start is not None:
        yield start, _used(flash[start:TABLE])
    yield TABLE, SECTOR
    for place in _table(flash):
        if place.type == TYPES["app"]:
            size = _used(flash[place.offset : place.end])
            if size:
                yield place.offset, size
        elif place.encrypted or (place.type, place.subtype) in (_OTADATA, _NVS_KEYS):
            yield place.offset, place.size


def _table(flash: bytes) -> tuple[Partition, ...]:
    return partitions.decode(flash[TABLE : TABLE + partitions.TABLE_SIZE])


def _used(content: bytes) -> int:
    """Bytes up to the last sector that is not erased."""
    return -(-len(content.rstrip(flasher.ERASED)) // SECTOR) * SECTOR


def _crypt(cipher: Callable[..., None], chip: str, key: bytes, offset: int, data: bytes) -> bytes:
    output = io.BytesIO()
    cipher(io.BytesIO(key), output, offset, _CRYPT_CONFIG, chip != "esp32", io.BytesIO(data))
    return output.getvalue()
