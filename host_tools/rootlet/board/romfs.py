"""ROMFS images: a read-only file system that MicroPython maps into memory, so that bytecode runs where it lies.

The format is that of MicroPython's ``extmod/vfs_rom.c``; mpremote writes it, nothing published reads it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mpremote.romfs import VfsRomWriter

from rootlet.errors import BadInput

MOUNT = "/rom"
"""Where MicroPython mounts the partition, before ``boot.py`` (``py/runtime.c``, ``extmod/vfs.c``)."""


def build(files: Mapping[str, bytes]) -> bytes:
    """An image that holds ``files`` (absolute path, without ``/rom``, to content). The same files give the same bytes."""
    writer = VfsRomWriter()
    _write(writer, _tree(files))
    image: bytes = writer.finalise()
    return image


def read(partition: bytes) -> dict[str, bytes]:
    """Every file in a partition that begins with an image, by absolute path. Raises BadInput where there is none."""
    return {f"/{name}": data for name, data in _entries(_content(partition), "")}


def size(partition: bytes) -> int:
    """How many bytes at the beginning of ``partition`` are the image. Raises BadInput where there is none."""
    length, start = _number(partition, len(VfsRomWriter.ROMFS_HEADER))
    if not partition.startswith(VfsRomWriter.ROMFS_HEADER) or start + length > len(partition):
        raise BadInput("no ROMFS image begins there", hint="is this a flash image of a board?")
    return start + length


def _tree(files: Mapping[str, bytes]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in sorted(files):
        *directories, last = name.strip("/").split("/")
        place = tree
        for directory in directories:
            place = place.setdefault(directory, {})
        place[last] = files[name]
    return tree


def _write(writer: VfsRomWriter, tree: Mapping[str, Any]) -> None:
    for name, content in tree.items():
        if isinstance(content, bytes):
            writer.mkfile(name, content)
        else:
            writer.opendir(name)
            _write(writer, content)
            writer.closedir()


def _content(partition: bytes) -> bytes:
    end = size(partition)
    _, start = _number(partition, len(VfsRomWriter.ROMFS_HEADER))
    return partition[start:end]


def _entries(content: bytes, prefix: str) -> Iterator[tuple[str, bytes]]:
    for kind, payload in _records(content):
        if kind in (VfsRomWriter.ROMFS_RECORD_KIND_DIRECTORY, VfsRomWriter.ROMFS_RECORD_KIND_FILE):
            length, start = _number(payload, 0)
            name, rest = prefix + payload[start : start + length].decode("ascii", "replace"), payload[start + length :]
            if kind == VfsRomWriter.ROMFS_RECORD_KIND_DIRECTORY:
                yield from _entries(rest, name + "/")
            else:
                yield name, _data(rest, name)


def _data(records: bytes, name: str) -> bytes:
    for kind, payload in _records(records):
        if kind == VfsRomWriter.ROMFS_RECORD_KIND_DATA_VERBATIM:
            return payload
    raise BadInput(f"the content of {name} in the ROMFS image cannot be read", hint="build the image with rootlet")


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(content):
        kind, at = _number(content, at)
        if kind == VfsRomWriter.ROMFS_RECORD_KIND_UNUSED:
            return
        length, at = _number(content, at)
        if at + length > len(content):
            raise BadInput("the ROMFS image is damaged: a record ends outside it", hint="build or flash it again")
        yield kind, content[at : at + length]
        at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    # Seven bits a byte, the most significant first; the last byte has bit 7 clear.
    value = 0
    while at < len(data):
        value = value << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            break
    return value, at
