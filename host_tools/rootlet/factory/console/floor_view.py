"""The content of the floor's page: for each port its colour, its text and what the operator should do."""

import datetime as dt
import re
from dataclasses import dataclass

from rootlet.factory import views
from rootlet.factory.database import Database
from rootlet.factory.floor import Tile, tiles
from rootlet.factory.schema import State, Step
from rootlet.factory.station import Phase

_KINDS: dict[str, str] = {
    Phase.EMPTY: "empty",
    Phase.DONE: "good",
    Phase.ALREADY: "good",
    Phase.FAILED: "bad",
    Phase.REFUSED: "aside",
    Phase.FINISHED: "wait",
    Phase.HELD: "wait",
}
_WORDS: dict[str, tuple[str, str]] = {
    Phase.EMPTY: ("Put a board in", "+"),
    Phase.DONE: ("Done", "✓"),
    Phase.ALREADY: ("Already done", "✓"),
    Phase.FAILED: ("Failed", "✗"),
    Phase.REFUSED: ("Set aside", "⇥"),
    Phase.FINISHED: ("Batch is full", "!"),
    Phase.HELD: ("Waiting", "…"),
    Phase.IDENTIFY: ("Looking", "…"),
    Phase.ASSIGN: ("Assigning", "…"),
    Step.ISSUE: ("Signing", "…"),
    Step.IMAGE: ("Writing image", "…"),
    Step.BURN: ("Writing identity", "…"),
    Step.PROTECT: ("Burning eFuses", "…"),
    Step.PROVE: ("Proving", "…"),
    Step.REGISTER: ("Registering", "…"),
    Step.QUEUE: ("Queueing", "…"),
    Step.CONNECT: ("Connecting", "…"),
    Step.LABEL: ("Printing label", "…"),
}
_TO_DO: dict[str, str] = {
    Phase.DONE: "Take it out",
    Phase.ALREADY: "Take it out",
    Phase.FAILED: "Take it out, put it in again",
    Phase.REFUSED: "Put it with the boards set aside",
    Phase.FINISHED: "Put the board back, call the engineer",
    Phase.HELD: "Leave the board in",
}
"""What an operator does, in words that are read from two metres away. Causes and commands are the engineer's."""
_FAILED_AGAIN = "It failed again: put it with the boards set aside"
_SILENT_AGAIN = "No board answers here: call the engineer"
_LOST = "Leave the boards in, call the engineer"

_ORDER: tuple[str, ...] = (
    Phase.IDENTIFY,
    Phase.ASSIGN,
    Step.ISSUE,
    Step.IMAGE,
    Step.BURN,
    Step.PROTECT,
    Step.PROVE,
    Step.REGISTER,
    Step.LABEL,
)
_FINISHED = (State.DONE, State.WAITING)


@dataclass(frozen=True)
class TileView:
    """One tile. ``kind`` selects colour and border; ``sign`` means the same without either.

    ``todo`` is for the operator, ``why`` for the engineer. ``say`` is what a screen reader announces; empty while nobody is
    needed.
    """

    port: str
    station: str
    kind: str
    word: str
    sign: str
    thing: str
    todo: str
    why: str
    say: str
    percent: int
    passed: int
    failed: int
    aside: int
    seconds: str


@dataclass(frozen=True)
class Progress:
    """A batch on the line, with the number of its boards, finished and in all."""

    name: str
    done: int
    total: int
    troubled: int

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


@dataclass(frozen=True)
class FloorView:
    """The content of the page."""

    tiles: tuple[TileView, ...]
    passed: int
    failed: int
    aside: int
    per_hour: int
    batches: tuple[Progress, ...]


def look(database: Database) -> FloorView:
    """The content of the page, now."""
    found = sorted(tiles(database), key=_by_number)
    running = {tile.batch for tile in found}
    batches = [
        Progress(view.name, sum(view.counts.get(state, 0) for state in _FINISHED), view.total, view.troubled)
        for view in views.batches(database)
        if view.name in running
    ]
    return FloorView(
        tiles=tuple(_view(tile) for tile in found),
        passed=sum(tile.passed for tile in found),
        failed=sum(tile.failed for tile in found),
        aside=sum(tile.aside for tile in found),
        per_hour=round(sum(tile.per_hour for tile in found)),
        batches=tuple(batches),
    )


def moment(at: str) -> str:
    """An entry's time, to the second."""
    return dt.datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def _view(tile: Tile) -> TileView:
    word, sign = _WORDS[tile.phase]
    kind = _KINDS.get(tile.phase, "busy")
    todo = _TO_DO.get(tile.phase, "")
    if tile.phase == Phase.FAILED and tile.repeats:
        todo = _FAILED_AGAIN if tile.mac else _SILENT_AGAIN
    why = "; ".join(part for part in (tile.what, tile.hint) if part) if kind in ("bad", "aside", "wait") else ""
    if tile.silent:
        kind, word, sign, todo = "lost", "No news", "?", _LOST
        why = f"station {tile.station} is silent: check its computer"
    port = _short(tile.port)
    return TileView(
        port=port,
        station=tile.station,
        kind=kind,
        word=word,
        sign=sign,
        thing=tile.thing or tile.mac,
        todo=todo,
        why=why,
        say=f"{port}: {word}. {todo}." if kind not in ("busy", "empty") else "",
        percent=_percent(tile.phase, tile.fraction),
        passed=tile.passed,
        failed=tile.failed,
        aside=tile.aside,
        seconds=f"{tile.seconds:.0f} s" if tile.seconds and kind == "good" else "",
    )


def _percent(phase: str, fraction: float) -> int:
    """The board's progress in per cent, by steps, with the image's progress inside its step."""
    if phase in (Step.QUEUE, Step.CONNECT):
        phase = Step.REGISTER
    if phase not in _ORDER:
        return 0
    return round(100 * (_ORDER.index(phase) + fraction) / len(_ORDER))


def _by_number(tile: Tile) -> tuple[str, list[tuple[str, int]]]:
    """Stations in order, and on each its ports: ttyUSB2 before ttyUSB10."""
    parts = re.findall(r"(\D*)(\d*)", tile.port)
    return tile.station, [(text, int(number or 0)) for text, number in parts]


def _short(port: str) -> str:
    for prefix in ("/dev/serial/by-id/usb-", "/dev/serial/by-path/", "/dev/", "socket://", "rfc2217://"):
        port = port.removeprefix(prefix)
    return port
