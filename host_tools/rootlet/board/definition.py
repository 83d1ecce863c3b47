"""Boards: one folder each under ``boards/``, described by a ``board.toml``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board.partitions import SUBTYPES, TYPES, Partition, vfs
from rootlet.errors import BadInput

SECTOR = 0x1000
"""The smallest piece of flash that can be erased, in bytes."""

_KEYS: dict[str, type] = {
    "name": str,
    "chip": str,
    "flash_size": int,
    "firmware_offset": int,
    "partition_table_offset": int,
    "partition": list,
}
_PARTITION_KEYS: dict[str, type | tuple[type, ...]] = {
    "label": str,
    "type": (str, int),
    "subtype": (str, int),
    "offset": int,
    "size": int,
}


@dataclass(frozen=True)
class Board:
    """A board's flash: sizes and offsets in bytes. ``firmware_offset`` is where MicroPython's .bin goes."""

    id: str
    name: str
    chip: str
    flash_size: int
    firmware_offset: int
    partition_table_offset: int
    partitions: tuple[Partition, ...]

    @property
    def vfs(self) -> Partition:
        return vfs(self.partitions, self.flash_size)


def list_boards(directory: Path | None = None) -> list[Board]:
    """Every board that ships with Rootlet, by id."""
    directory = directory or resources.BOARDS
    return [load_board(path.parent.name, directory) for path in sorted(directory.glob("*/board.toml"))]


def load_board(board_id: str, directory: Path | None = None) -> Board:
    """Read a board's definition. Raises BadInput for an unknown board, and names every key of a bad file."""
    directory = directory or resources.BOARDS
    path = directory / board_id / "board.toml"
    if not path.is_file():
        known = ", ".join(sorted(found.parent.name for found in directory.glob("*/board.toml")))
        raise BadInput(f"unknown board {board_id!r}", way_out=f"choose from: {known}")
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: {error}", way_out="correct the TOML") from None
    problems = _check_keys(document, _KEYS, "")
    for number, entry in enumerate(document.get("partition", [])):
        problems += _check_keys(entry, _PARTITION_KEYS, f"partition[{number}].", optional={"encrypted": bool})
    if not problems:
        partitions = tuple(_partition(entry) for entry in document["partition"])
        problems = _check_layout(document, partitions)
    if problems:
        raise BadInput(f"{path}: " + "; ".join(problems), way_out="correct the file; boards/esp32_generic is an example")
    return Board(
        id=board_id,
        name=document["name"],
        chip=document["chip"],
        flash_size=document["flash_size"],
        firmware_offset=document["firmware_offset"],
        partition_table_offset=document["partition_table_offset"],
        partitions=partitions,
    )


def _check_keys(
    table: dict[str, Any], keys: dict[str, Any], prefix: str, optional: dict[str, type] | None = None
) -> list[str]:
    allowed = keys | (optional or {})
    problems = [f"{prefix}{key} is missing" for key in keys if key not in table]
    problems += [f"{prefix}{key} is not known" for key in table if key not in allowed]
    problems += [
        f"{prefix}{key} is {type(value).__name__}" for key, value in table.items()
        if key in allowed and not isinstance(value, allowed[key])
    ]  # fmt: skip
    return problems


def _partition(entry: dict[str, Any]) -> Partition:
    kind = TYPES.get(entry["type"], entry["type"])
    subtype = SUBTYPES.get(kind, {}).get(entry["subtype"], entry["subtype"])
    return Partition(entry["label"], kind, subtype, entry["offset"], entry["size"], entry.get("encrypted", False))


def _check_layout(document: dict[str, Any], partitions: tuple[Partition, ...]) -> list[str]:
    problems = []
    end = document["partition_table_offset"] + SECTOR
    for partition in partitions:
        where = f"partition {partition.label}"
        if not (isinstance(partition.type, int) and isinstance(partition.subtype, int)):
            problems.append(f"{where}: unknown type or subtype")
        if partition.offset < end:
            problems.append(f"{where} starts at 0x{partition.offset:x}, before 0x{end:x} where the one before it ends")
        if partition.offset % SECTOR or partition.size % SECTOR or partition.size <= 0:
            problems.append(f"{where}: offset and size must be multiples of 0x{SECTOR:x}")
        if partition.type == TYPES["app"] and partition.offset % 0x10000:
            problems.append(f"{where}: an application must start at a multiple of 0x10000")
        end = partition.end
    if end >= document["flash_size"]:
        problems.append(f"the partitions end at 0x{end:x} and leave no room for vfs")
    return problems
