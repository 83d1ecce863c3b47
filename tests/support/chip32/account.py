"""Where the bytes are: the live heap along a device's life, and what each module takes of it."""

import ast
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rootlet import resources

from support import chip32
from support.chip32 import board

_POOL = 24  # bytes of a pool of names beside its entries
_ENTRY = 7  # bytes of an entry: pointer, hash, length
_FIRST = 20  # entries of the first pool; each next one has twice as many


def pools(names: int) -> int:
    """Bytes of the pools in which MicroPython keeps so many names beyond those of its own (py/qstr.c)."""
    total, room, size = 0, 0, _FIRST
    while room < names:
        total += -(-(_POOL + size * _ENTRY) // 16) * 16
        room += size
        size *= 2
    return total


@dataclass(frozen=True)
class Mark:
    """The heap at an event: bytes with garbage, bytes alive, bytes of names; a chip's boot included, the stand-ins not."""

    event: str
    used: int
    alive: int
    names: int


@dataclass(frozen=True)
class Raw:
    """What the board printed at an event: the heap, and its names as number, characters and bytes in all."""

    event: str
    used: int
    alive: int
    number: int
    characters: int
    names: int


def raw(run: chip32.Run) -> list[Raw]:
    """What a board reported, in order; the first is its boot."""
    found = []
    for line, pool in zip(run.lines, run.lines[1:], strict=False):
        if match := re.fullmatch(r"@ (\S+) (\d+) (\d+)", line):
            names = re.search(r"n_qstr=(\d+), n_str_data_bytes=(\d+), n_total_bytes=(\d+)", pool)
            assert names, pool
            found.append(Raw(match[1], *map(int, (*match.group(2, 3), *names.group(1, 2, 3)))))
    assert found, "\n".join([*run.lines, run.trap])
    return found


def excess(found: Sequence[Raw]) -> int:
    """Bytes that the heap here holds at the last event and a chip's would not: the stand-ins, and pools for their names."""
    first, last = found[0], found[-1]
    return first.alive - chip32.BOOT + (last.names - first.names) - _names(first, last)


def _names(first: Raw, now: Raw) -> int:
    # The pools here hold the stand-ins' names too, so a chip's are computed.
    return now.characters - first.characters + pools(now.number - first.number)


def marks(run: chip32.Run) -> list[Mark]:
    """The same as on a chip."""
    found = raw(run)
    return [
        Mark(now.event, now.used - less, now.alive - less, _names(found[0], now))
        for now in found
        for less in [excess([found[0], now])]
    ]


def at(found: Sequence[Mark], event: str) -> Mark:
    """The first mark of an event."""
    return next(mark for mark in found if mark.event == event)


@dataclass(frozen=True)
class Module:
    """What a module keeps alive once it is imported, in bytes: all, its names, its code; what is left are objects."""

    name: str
    total: int
    names: int
    code: int

    @property
    def objects(self) -> int:
        return self.total - self.names - self.code


def modules(roots: Sequence[str]) -> list[Module]:
    """Each module of ``leaf`` that importing ``roots`` loads, in the order of loading."""
    order: list[str] = []
    for root in roots:
        _walk(root, order)
    lines = ["import wire"]
    for name in order:
        lines += [f"wire.tell('{name}')", f"__import__('{name}')", f"wire.tell('{name}:after')"]
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch, "board")
        directory.mkdir()
        board.write(directory, board.SAMPLE, {})
        package = directory / "leaf"  # itself it would load the device, before anything is counted
        package.joinpath("__init__.mpy").unlink()
        package.joinpath("__init__.py").write_text("DROP_OLDEST = REFUSE_NEW = ''\n")
        (directory / "main.py").write_text("\n".join(lines))
        run = board.power_on(directory, 250_000)
        assert not run.trap, "\n".join([*run.lines[-20:], run.trap])
        found = marks(run)
        return [
            Module(
                name,
                at(found, f"{name}:after").alive - at(found, name).alive,
                at(found, f"{name}:after").names - at(found, name).names,
                _code(directory / (name.replace(".", "/") + ".mpy")),
            )
            for name in order
        ]


def _walk(name: str, order: list[str]) -> None:
    source = resources.FIRMWARE / (name.replace(".", "/") + ".py")
    if name in order or not source.exists():
        return
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = name.split(".")[: -node.level]
            parts = [*base, *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                _walk(".".join([*parts, alias.name]), order)
            _walk(".".join(parts), order)
    order.append(name)


def _code(path: Path) -> int:
    """Bytes of bytecode in an .mpy file, as the heap's blocks of 16 hold them (py/persistentcode.c describes the format)."""
    if not path.exists():
        return 0
    reader = _Reader(path.read_bytes())
    reader.at = 4  # magic, version, feature flags, bits of a small integer
    names, objects = reader.number(), reader.number()
    for _ in range(names):
        size = reader.number()
        if not size & 1:
            reader.at += (size >> 1) + 1
    for _ in range(objects):
        reader.skip_object()
    return reader.code()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self) -> int:
        value = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                return value

    def skip_object(self) -> None:
        kind = self.data[self.at]
        self.at += 1
        if kind <= 4:  # fun_table, None, False, True, Ellipsis
            return
        size = self.number()
        if kind == 10:  # a tuple
            for _ in range(size):
                self.skip_object()
        else:
            self.at += size + (1 if kind in (5, 6) else 0)  # str and bytes end in a NUL

    def code(self) -> int:
        head = self.number()
        size = head >> 3
        assert head & 3 == 0, "native code"
        self.at += size
        total = -(-size // 16) * 16
        if head & 4:
            for _ in range(self.number()):
                total += self.code()
        return total
