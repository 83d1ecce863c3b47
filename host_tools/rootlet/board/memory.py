"""What a chip's memory holds: the first area of the GC heap, and the C heap by MicroPython release (``board.toml``)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class CHeap:
    """Bytes of the C heap: what a fresh boot leaves, and what takes how much of it. ``board.toml`` says how it was seen."""

    boot: int
    imports: int
    wifi_active: int
    wifi_joined: int
    tls_context: int
    tls_socket: int
    tls_handshake: int
    tls_session: int

    def spare(self, growth: int = 0) -> int:
        """What is left at the highest of a handshake; negative where TLS does not fit. ``growth`` is the GC heap's."""
        network = self.wifi_active + self.wifi_joined
        return self.boot - self.imports - growth - network - self.tls_context - self.tls_socket - self.tls_handshake


@dataclass(frozen=True)
class Memory:
    """``gc_area``: bytes of the GC heap's first area. ``c_heap``: by release, as in "1.26.1"; empty where never seen."""

    gc_area: int
    c_heap: Mapping[str, CHeap]

    def of(self, release: str | None) -> CHeap | None:
        """The C heap with this release; with one that was not seen, or none, the worst that was."""
        worst = min(self.c_heap.values(), key=CHeap.spare, default=None)
        return self.c_heap.get(release or "", worst)

    def growth(self, live: int) -> int:
        """What the GC heap takes of the C heap to hold ``live`` bytes: it adds as much again as it has."""
        size = self.gc_area
        while size < live:
            size *= 2
        return size - self.gc_area


def check(table: Mapping[str, Any]) -> list[str]:
    """What is wrong with the table ``memory`` of a ``board.toml``."""
    problems = _check_sizes(table, ("gc_area",), "memory.", others=("c_heap",))
    heaps = table.get("c_heap", {})
    if not isinstance(heaps, dict):
        return [*problems, "memory.c_heap must be a table for each release"]
    names = tuple(field.name for field in fields(CHeap))
    for release, figures in heaps.items():
        where = f"memory.c_heap.{release}"
        problems += _check_sizes(figures, names, where + ".") if isinstance(figures, dict) else [where + " must be a table"]
    return problems


def read(table: Mapping[str, Any]) -> Memory:
    """The table, once ``check`` has found nothing."""
    return Memory(table["gc_area"], {release: CHeap(**figures) for release, figures in table.get("c_heap", {}).items()})


def _check_sizes(table: Mapping[str, Any], names: tuple[str, ...], prefix: str, others: tuple[str, ...] = ()) -> list[str]:
    problems = [f"{prefix}{name} is missing" for name in names if name not in table]
    problems += [f"{prefix}{name} is not known" for name in table if name not in (*names, *others)]
    return problems + [
        f"{prefix}{name} must be a number of bytes" for name in names if name in table and not _is_size(table[name])
    ]


def _is_size(value: object) -> bool:
    return type(value) is int and value > 0
