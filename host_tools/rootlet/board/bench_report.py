"""What ``rootlet bench`` reports of a board: numbers and versions, read out of what ``leaf`` prints. No talking to it.

A report is meant to be given away. So it is put together from the numbers and the few words that are looked for here, never
from a line as it is: a line may name the thing, the network, the endpoint or the certificate.
"""

import datetime as dt
import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rootlet import __version__

FORMAT = 1
RUNGS = {
    "identity": re.compile(r"identity: thing "),
    "wifi": re.compile(r"wifi: joined "),
    "clock": re.compile(r"clock: set from "),
    "tcp": re.compile(r"tcp: connected"),
    "tls": re.compile(r"tls: trusted "),
    "mqtt": re.compile(r"mqtt: connected as "),
    "puback": re.compile(r"mqtt: first puback"),
}
"""The rungs of the ladder and the line that ``leaf`` prints when it has taken one."""

_LINE = re.compile(r"^(\d+) ([\w-]+: .*)$")
_FAULT = re.compile(r"fault: ([a-z-]+): ")
_GC_HEAP = re.compile(r"heap: (?P<used>\d+) bytes used, (?P<free>\d+) free")
_C_HEAP = {
    name: re.compile(rf"C heap .*?{pattern}")
    for name, pattern in {
        "free": r"(\d+) free",
        "lowest": r"(?:lowest (\d+)|(\d+) lowest)",
        "largest": r"(?:largest block (\d+)|(\d+) largest block)",
    }.items()
}
_KEYS: dict[str, type | tuple[type, ...]] = {
    "format": int,
    "date": str,
    "rootlet": str,
    "platform": str,
    "machine": str,
    "micropython": str,
    "board": str,
    "chip": str,
    "flash_bytes": int,
    "leaf": str,
    "code": str,
    "leaf_frozen": bool,
    "reset_by": str,
    "runs": list,
    "median": dict,
}
_RUN_KEYS = (
    "connected", "boots", "before_leaf_ms", "rungs_ms", "handshake_ms", "gc_heap", "c_heap", "c_heap_after",
    "gc_largest_free_after", "flash_operations", "reset_cause", "faults",
)  # fmt: skip


@dataclass
class Boot:
    """One boot, from the lines of the board's console. Times are in milliseconds since ``leaf`` was imported."""

    rungs: dict[str, int] = field(default_factory=dict)
    before_leaf: int | None = None
    gc_heap: dict[str, int] = field(default_factory=dict)
    c_heap: dict[str, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    boots: int = 0

    @property
    def started(self) -> bool:
        """Whether ``leaf`` has said who it is, or that it cannot run."""
        return bool(self.boots or self.faults)

    @property
    def connected(self) -> bool:
        return "puback" in self.rungs

    @property
    def handshake(self) -> int | None:
        """Milliseconds of the last TLS handshake, with the client's first message and the server's verification."""
        both = "tcp" in self.rungs and "tls" in self.rungs
        return self.rungs["tls"] - self.rungs["tcp"] if both else None

    def take(self, line: str, since_reset: float | None = None) -> None:
        """Read a line, which came so many seconds after the board's reset was released."""
        match = _LINE.match(line)
        if match is None:
            return
        at, text = int(match.group(1)), match.group(2)
        if fault := _FAULT.match(text):
            self.faults[fault.group(1)] += 1
        for name, pattern in RUNGS.items():
            if not pattern.match(text):
                continue
            if name == "identity":  # what came before is of an earlier boot
                self.rungs.clear()
                self.boots += 1
                if since_reset is not None and self.boots == 1:
                    self.before_leaf = max(0, round(since_reset * 1000) - at)
            if self.boots:
                self.rungs[name] = at
        if self.boots and (found := _GC_HEAP.match(text)):
            self.gc_heap = {name: int(value) for name, value in found.groupdict().items()}
            self.c_heap = {
                name: int(next(filter(None, value.groups())))
                for name, pattern in _C_HEAP.items()
                if (value := pattern.search(text))
            }


def run(boot: Boot, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One run's part of the report. ``asked`` is what the board answered at its prompt afterwards."""
    return {
        "connected": boot.connected,
        "boots": boot.boots,
        "before_leaf_ms": boot.before_leaf,
        "rungs_ms": dict(boot.rungs),
        "handshake_ms": boot.handshake,
        "gc_heap": dict(boot.gc_heap) or None,
        "c_heap": dict(boot.c_heap) or None,
        "c_heap_after": asked["c_heap"],
        "gc_largest_free_after": asked["gc_largest_free"],
        "flash_operations": asked["flash_operations"],
        "reset_cause": asked["reset_cause"],
        "faults": dict(boot.faults),
    }


def report(runs: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], chip: str | None, reset_by: str) -> dict[str, Any]:
    """The whole report, of at least one run. ``asked`` is the answer of the last."""
    return {
        "format": FORMAT,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "rootlet": __version__,
        "chip": chip,
        "reset_by": reset_by,
        **{key: asked[key] for key in ("platform", "machine", "micropython", "board", "flash_bytes", "leaf", "code")},
        "leaf_frozen": asked["leaf_frozen"],
        "runs": [dict(one) for one in runs],
        "median": medians(runs),
    }


def medians(runs: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The median of each number over the runs that connected, by its path: ``rungs_ms.puback``."""
    values: dict[str, list[float]] = {}
    for one in runs:
        for name, value in _numbers(one) if one["connected"] else ():
            values.setdefault(name, []).append(value)
    return {name: statistics.median(found) for name, found in values.items()}


def problems(found: object) -> list[str]:
    """What keeps ``found`` from being a report that may be published; empty where nothing does."""
    if not isinstance(found, dict):
        return ["it is not an object"]
    wrong = [f"{key} is missing" for key in _KEYS if key not in found]
    wrong += [f"{key} is not known" for key in found if key not in _KEYS]
    wrong += [
        f"{key} is of another type" for key, kind in _KEYS.items()
        if key in found and not isinstance(found[key], kind) and found[key] is not None
    ]  # fmt: skip
    for number, one in enumerate(found.get("runs") or ()):
        wrong += [f"runs[{number}].{key} is not known" for key in one if key not in _RUN_KEYS]
    if found.get("format") != FORMAT:
        wrong.append(f"its format is {found.get('format')}, not {FORMAT}")
    return wrong


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """The reports as a Markdown table, a row each; a sentence where there is none."""
    if not reports:
        return "No report yet.\n"
    heads = ("machine", "MicroPython", "leaf", "code in", "runs", "PUBACK, ms", "handshake, ms", "GC heap used / free",
             "C heap lowest", "date")  # fmt: skip
    rows = [heads, ("---",) * len(heads), *(_row(one) for one in reports)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page(text: str, directory: Path) -> str:
    """The page with the table of the reports in ``directory``. Raises ValueError for a file that is not a report."""
    begin, end = "<!-- reports -->\n", "<!-- end of reports -->"
    before, _, rest = text.partition(begin)
    return before + begin + table([_load(path) for path in sorted(directory.glob("*.json"))]) + end + rest.partition(end)[2]


def _load(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if wrong := problems(found):
        raise ValueError(f"{path}: {'; '.join(wrong)}")
    return dict(found)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    median = one["median"]
    connected = sum(bool(each["connected"]) for each in one["runs"])

    def number(name: str) -> str:
        return f"{median[name]:,.0f}" if name in median else "-"

    return (
        one["machine"],
        one["micropython"],
        one["leaf"],
        "frozen" if one["leaf_frozen"] else one["code"],
        f"{connected} of {len(one['runs'])} connected",
        number("rungs_ms.puback") if connected else "**never**",
        number("handshake_ms"),
        f"{number('gc_heap.used')} / {number('gc_heap.free')}",
        number("c_heap_after.lowest"),
        one["date"],
    )


def _numbers(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping) and name != "faults":
            yield from _numbers(inner, f"{prefix}{name}.")
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            yield prefix + name, inner
