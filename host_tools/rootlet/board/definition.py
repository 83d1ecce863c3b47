"""Boards: one folder each under ``boards/``, described by a ``board.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board import memory as memories
from rootlet.board.partitions import SECURE_CERT, SUBTYPES, TYPES, Partition, vfs
from rootlet.errors import BadInput

SECTOR = 0x1000
"""The smallest piece of flash that can be erased, in bytes."""

CHIPS = ("esp32", "esp32s2", "esp32s3", "esp32c3", "esp32c6")
"""The chips that can be built for, by esptool's names."""

_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "chip": str,
    "flash_sizes": list,
    "micropython_offset": int,
    "partition_table_offset": int,
    "micropython": dict,
    "partition": list,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {"pins": dict, "secure_element": str, "memory": dict}
_MICROPYTHON_KEYS: dict[str, type | tuple[type, ...]] = {"build": str, "version": str, "file": str}
_PARTITION_KEYS: dict[str, type | tuple[type, ...]] = {
    "label": str,
    "type": (str, int),
    "subtype": (str, int),
    "offset": int,
    "size": int,
}


@dataclass(frozen=True)
class MicroPythonBuild:
    """Which MicroPython runs on a board: its name for the build, a release, that release's file and its SHA-256."""

    build: str
    version: str
    file: str
    sha256: str | None = None


@dataclass(frozen=True)
class Board:
    """A board's flash: sizes and offsets in bytes. ``micropython_offset`` is where MicroPython's .bin goes.

    ``flash_sizes`` are the sizes it is sold with, the usual one first; ``flash_size`` is the one at hand.
    ``partitions`` is the layout of MicroPython's own build with ``esp_secure_cert`` added.
    """

    id: str
    name: str
    chip: str
    flash_sizes: tuple[int, ...]
    flash_size: int
    micropython_offset: int
    partition_table_offset: int
    micropython: MicroPythonBuild
    partitions: tuple[Partition, ...]
    pins: Mapping[str, int]
    secure_element: str | None = None
    memory: memories.Memory | None = None
    """None for a board with PSRAM, which memory does not limit."""

    @property
    def vfs(self) -> Partition:
        return vfs(self.partitions, self.flash_size)

    def with_flash(self, size: int) -> "Board":
        """The same board with another size of flash. Raises BadInput for one that it is not sold with."""
        if size not in self.flash_sizes:
            sold = ", ".join(f"{known >> 20}" for known in self.flash_sizes)
            raise BadInput(f"{self.id} has no variant with {size / (1 << 20):g} MiB of flash", hint=f"MiB: {sold}")
        return replace(self, flash_size=size)


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
        raise BadInput(f"unknown board {board_id!r}", hint=f"choose from: {known}")
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: {error}", hint="correct the TOML") from None
    problems = _check_keys(document, _KEYS, "", _OPTIONAL) + _check_values(document)
    for number, entry in enumerate(document.get("partition", [])):
        problems += _check_keys(entry, _PARTITION_KEYS, f"partition[{number}].", optional={"encrypted": bool})
    if not problems:
        partitions = tuple(_partition(entry) for entry in document["partition"])
        problems = _check_layout(document, partitions)
    if problems:
        raise BadInput(f"{path}: " + "; ".join(problems), hint="correct the file; boards/esp32_generic is an example")
    return Board(
        id=board_id,
        name=document["name"],
        chip=document["chip"],
        flash_sizes=tuple(document["flash_sizes"]),
        flash_size=document["flash_sizes"][0],
        micropython_offset=document["micropython_offset"],
        partition_table_offset=document["partition_table_offset"],
        micropython=MicroPythonBuild(**document["micropython"]),
        partitions=partitions,
        pins=document.get("pins", {}),
        secure_element=document.get("secure_element"),
        memory=memories.read(document["memory"]) if "memory" in document else None,
    )


def _check_values(document: dict[str, Any]) -> list[str]:
    problems = []
    chip, sizes, pins = document.get("chip"), document.get("flash_sizes"), document.get("pins", {})
    if isinstance(chip, str) and chip not in CHIPS:
        problems.append(f"chip is {chip!r}; known are {', '.join(CHIPS)}")
    if isinstance(sizes, list) and not (sizes and all(type(size) is int and size >= 1 << 21 for size in sizes)):
        problems.append("flash_sizes must be sizes in bytes, 2 MiB or more")
    if isinstance(pins, dict):
        problems += [f"pins.{name} is not a GPIO number" for name, pin in pins.items() if type(pin) is not int or pin < 0]
    if isinstance(document.get("memory"), dict):
        problems += memories.check(document["memory"])
    if isinstance(document.get("micropython"), dict):
        problems += _check_keys(document["micropython"], _MICROPYTHON_KEYS, "micropython.", {"sha256": str})
    return problems


def _check_keys(table: object, keys: dict[str, Any], prefix: str, optional: dict[str, Any] | None = None) -> list[str]:
    if not isinstance(table, dict):
        return [f"{prefix.rstrip('.')} is {type(table).__name__}; must be a table"]
    allowed = keys | (optional or {})
    problems = [f"{prefix}{key} is missing" for key in keys if key not in table]
    problems += [f"{prefix}{key} is not known" for key in table if key not in allowed]
    problems += [
        f"{prefix}{key} is {type(value).__name__}; must be {_type_name(allowed[key])}" for key, value in table.items()
        if key in allowed and (not isinstance(value, allowed[key]) or (allowed[key] is int and isinstance(value, bool)))
    ]  # fmt: skip
    return problems


def _type_name(kind: type | tuple[type, ...]) -> str:
    return " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))


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
    if not any(partition.label == SECURE_CERT for partition in partitions):
        problems.append(f"no partition {SECURE_CERT}")
    if partitions[-1:] and partitions[-1].label != "vfs" and end >= min(document["flash_sizes"]):
        problems.append(f"the partitions end at 0x{end:x} and leave no room for vfs")
    return problems
