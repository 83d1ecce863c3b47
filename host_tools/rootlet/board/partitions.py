"""ESP-IDF's partition table: 32 bytes an entry, then an MD5 over them (ESP-IDF: partition tables)."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rootlet.errors import BadInput

TABLE_SIZE = 0xC00
"""Bytes that the table takes in flash; its sector of 4 KiB also has room for a signature."""

TYPES = {"app": 0x00, "data": 0x01}
SUBTYPES = {
    0x00: {"factory": 0x00, **{f"ota_{slot}": 0x10 + slot for slot in range(16)}, "test": 0x20},
    0x01: {"ota": 0x00, "phy": 0x01, "nvs": 0x02, "coredump": 0x03, "nvs_keys": 0x04, "fat": 0x81, "spiffs": 0x82},
}
SECURE_CERT = "esp_secure_cert"
SECURE_CERT_TYPE = 0x3F
SECURE_CERT_SIZE = 0x2000
ROMFS = "romfs"
ROMFS_SUBTYPE = 0x8F  # as in MicroPython's partitions-4MiB-romfs.csv; it finds the partition by its label
ROMFS_STEP = 0x20000
"""A ``romfs`` partition is as large as MicroPython's own layout has it, 128 KiB, or a multiple of that."""
_LARGE_NVS = 0x6000  # ESP-IDF's default; 0x4000 is what its OTA layouts use, and enough

_ENTRY = struct.Struct("<2sBBII16sI")
ENTRY_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14
_ENCRYPTED, _READ_ONLY = 1 << 0, 1 << 1


@dataclass(frozen=True)
class Partition:
    """A named range of flash; ``offset`` and ``size`` in bytes."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    encrypted: bool = False
    read_only: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.size


def encode(partitions: Sequence[Partition]) -> bytes:
    """The table's bytes, ``TABLE_SIZE`` long. Raises BadInput for a label of more than 16 bytes or too many entries."""
    entries = b"".join(map(_encode_entry, partitions))
    table = entries + _MD5_MAGIC + hashlib.md5(entries, usedforsecurity=False).digest()
    if len(table) > TABLE_SIZE:
        raise BadInput(f"{len(partitions)} partitions do not fit into the table", hint="define fewer")
    return table.ljust(TABLE_SIZE, b"\xff")


def decode(table: bytes) -> tuple[Partition, ...]:
    """Read a table, as in flash. Raises BadInput for one that is damaged or none at all."""
    partitions: list[Partition] = []
    for offset in range(0, min(len(table), TABLE_SIZE), _ENTRY.size):
        entry = table[offset : offset + _ENTRY.size]
        if entry.startswith(_MD5_MAGIC):
            if hashlib.md5(table[:offset], usedforsecurity=False).digest() != entry[16:]:
                raise BadInput("the partition table's MD5 does not match", hint="the dump is damaged: read it again")
            return tuple(partitions)
        if entry == b"\xff" * _ENTRY.size and partitions:
            return tuple(partitions)
        if len(entry) < _ENTRY.size or not entry.startswith(ENTRY_MAGIC):
            break
        partitions.append(_decode_entry(entry))
    raise BadInput("no partition table found", hint="give a full flash image of an ESP32, from offset 0")


def find(partitions: Sequence[Partition], label: str) -> Partition:
    """The partition of that name. Raises BadInput."""
    for partition in partitions:
        if partition.label == label:
            return partition
    names = ", ".join(partition.label for partition in partitions)
    raise BadInput(f"no partition {label!r} in the table (it has {names})", hint="build the image with rootlet")


def with_secure_cert(partitions: Sequence[Partition]) -> tuple[Partition, ...]:
    """MicroPython's own table with ``esp_secure_cert`` added: cut off the end of a large nvs, else behind the rest.

    No application moves. An explicit ``vfs`` gives up its first blocks where nvs is too small to give any.
    Raises BadInput where there is room in neither.
    """
    if any(partition.label == SECURE_CERT for partition in partitions):
        return tuple(partitions)
    result = list(partitions)
    for place, partition in enumerate(partitions):
        if partition.type == TYPES["data"] and partition.subtype == SUBTYPES[1]["nvs"] and partition.size >= _LARGE_NVS:
            smaller = replace(partition, size=partition.size - SECURE_CERT_SIZE)
            result[place : place + 1] = [smaller, _secure_cert(smaller.end)]
            return tuple(result)
    return _behind(partitions, SECURE_CERT, SECURE_CERT_TYPE, 0, SECURE_CERT_SIZE, encrypted=True)


def with_romfs(partitions: Sequence[Partition], need: int) -> tuple[Partition, ...]:
    """The table with a ``romfs`` partition for ``need`` bytes: its own, or one behind the rest.

    Raises BadInput where its own is too small, or there is no room for another.
    """
    for partition in partitions:
        if partition.label == ROMFS:
            if partition.size < need:
                raise BadInput(
                    f"the code takes {need} bytes, the romfs partition of this MicroPython has {partition.size}",
                    hint="give your build a larger one, or leave the code in vfs: --romfs no",
                )
            return tuple(partitions)
    size = -(-need // ROMFS_STEP) * ROMFS_STEP
    # Encrypted where the flash is: what is mapped into memory is decrypted in any case.
    return _behind(partitions, ROMFS, TYPES["data"], ROMFS_SUBTYPE, size, encrypted=True)


def _behind(
    partitions: Sequence[Partition], label: str, kind: int, subtype: int, size: int, *, encrypted: bool
) -> tuple[Partition, ...]:
    # Where vfs has an entry and is the last, it gives its first blocks; else the end moves, from which vfs begins.
    last = partitions[-1]
    if last.label != "vfs":
        end = max(partition.end for partition in partitions)
        return (*partitions, Partition(label, kind, subtype, end, size, encrypted))
    if last.size < 2 * size:
        raise BadInput(f"the partition table has no room for {label}", hint="choose a board with more flash")
    shorter = replace(last, offset=last.offset + size, size=last.size - size)
    return (*partitions[:-1], Partition(label, kind, subtype, last.offset, size, encrypted), shorter)


def _secure_cert(offset: int) -> Partition:
    return Partition(SECURE_CERT, SECURE_CERT_TYPE, 0, offset, SECURE_CERT_SIZE, encrypted=True)


def vfs(partitions: Sequence[Partition], flash_size: int) -> Partition:
    """The file system: its entry where the table has one, else all behind the last partition (MicroPython 1.26)."""
    for partition in partitions:
        if partition.label == "vfs":
            return partition
    start = max(partition.end for partition in partitions)
    return Partition("vfs", TYPES["data"], SUBTYPES[0x01]["fat"], start, flash_size - start)


def _encode_entry(partition: Partition) -> bytes:
    label = partition.label.encode()
    if len(label) > 16:
        raise BadInput(f"partition label {partition.label!r} is longer than 16 bytes", hint="shorten it")
    flags = _ENCRYPTED * partition.encrypted | _READ_ONLY * partition.read_only
    return _ENTRY.pack(ENTRY_MAGIC, partition.type, partition.subtype, partition.offset, partition.size, label, flags)


def _decode_entry(entry: bytes) -> Partition:
    _, kind, subtype, offset, size, label, flags = _ENTRY.unpack(entry)
    name = label.rstrip(b"\0").decode("ascii", "replace")
    return Partition(name, kind, subtype, offset, size, bool(flags & _ENCRYPTED), bool(flags & _READ_ONLY))
