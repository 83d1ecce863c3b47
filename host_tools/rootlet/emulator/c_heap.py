"""The figures of the virtual board's C heap, out of every ``board.toml``; ``shims/c_heap.py`` keeps the account."""

import tomllib
from functools import cache
from typing import Any

from rootlet import resources

UNKNOWN = ""
"""The key of what stands for a board, or a release of MicroPython, that was never looked at: the worst that was."""


@cache
def figures() -> dict[str, dict[str, dict[str, int] | None]]:
    """Board to release to figures in bytes, with ``UNKNOWN`` among the boards and among each board's releases.

    None instead of figures for a board with PSRAM, which memory does not limit.
    """
    # Only what is shipped with Rootlet, which board/definition.py and its tests check; this room lies below that one.
    tables = {
        path.parent.name: tomllib.loads(path.read_text()).get("memory") for path in resources.BOARDS.glob("*/board.toml")
    }
    seen = {board: _of(table) for board, table in tables.items() if table and "c_heap" in table}
    worst = min((releases[UNKNOWN] for releases in seen.values()), key=_left)
    found: dict[str, dict[str, dict[str, int] | None]] = {UNKNOWN: {UNKNOWN: worst}}
    for board, table in tables.items():
        # A board that nobody looked into has an area of its own, and otherwise the worst C heap there is.
        borrowed = {**worst, "gc_area": table["gc_area"]} if table else None
        found[board] = {**seen[board]} if board in seen else {UNKNOWN: borrowed}
    return found


def _of(table: dict[str, Any]) -> dict[str, dict[str, int]]:
    releases = {release: {**heap, "gc_area": table["gc_area"]} for release, heap in table["c_heap"].items()}
    return {**releases, UNKNOWN: min(releases.values(), key=_left)}


def _left(heap: dict[str, int]) -> int:
    taken = sum(size for name, size in heap.items() if name not in ("boot", "gc_area"))
    return heap["boot"] - taken
