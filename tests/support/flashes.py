"""Flashes that hold nothing but a script."""

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
