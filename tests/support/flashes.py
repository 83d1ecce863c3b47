"""Flashes that hold nothing but a script."""

from collections.abc import Mapping
from pathlib import Path

from rootlet.board import filesystem, partitions
from rootlet.board.definition import load_board

BOARD = load_board("esp32_generic")


def write(flash: Path, main: str) -> None:
    """A flash that holds nothing but this main.py."""
    content = bytearray(b"\xff" * BOARD.flash_size)
    table = partitions.encode(BOARD.partitions)
    content[BOARD.partition_table_offset : BOARD.partition_table_offset + len(table)] = table
    vfs = partitions.vfs(BOARD.partitions, BOARD.flash_size)
    content[vfs.offset : vfs.end] = filesystem.build({"/main.py": main.encode()}, vfs.size)
    flash.write_bytes(content)


def change(flash: Path, files: Mapping[str, bytes | None]) -> None:
    """Put files into the file system of a flash, by their absolute paths; None takes one out."""
    content = bytearray(flash.read_bytes())
    vfs = partitions.vfs(BOARD.partitions, BOARD.flash_size)
    held = {**filesystem.read(bytes(content[vfs.offset : vfs.end])), **files}
    kept = {path: data for path, data in held.items() if data is not None}
    content[vfs.offset : vfs.end] = filesystem.build(kept, vfs.size)
    flash.write_bytes(content)


def blocks_with(flash: Path, part: bytes) -> list[int]:
    """The blocks of the file system that hold these bytes."""
    vfs = partitions.vfs(BOARD.partitions, BOARD.flash_size)
    content = flash.read_bytes()[vfs.offset : vfs.end]
    size = filesystem.BLOCK
    return [at // size for at in range(0, len(content), size) if part in content[at : at + size]]
