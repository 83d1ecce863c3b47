"""The content of the floor's page: for each port its colour, its text and what the operator should do."""

import datetime as dt
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
    Phase.REFUSED: "bad",
    Phase.FINISHED: "wait",
    Phase.HELD: "wait",
}
_WORDS: dict[str, tuple[str, str]] = {
    Phase.EMPTY: ("Put a board in", "+"),
    Phase.DONE: ("Done", "✓"),
    Phase.ALREADY: ("Already done", "✓"),
    Phase.FAILED: ("Failed", "✗"),
    Phase.REFUSED: ("Set aside", "✗"),
    Phase.FINISHED: ("Batch is full", "!"),
    Phase.HELD: ("Waiting", "…"),
    Phase.IDENTIFY: ("Looking", "…"),
    Phase.ASSIGN: ("Assigning", "…"),
    Step.ISSUE: ("Signing", "…"),
    Step.IMAGE: ("Writing image", "…"),
    Step.BURN: ("Writing identity", "…"),
    Step.PROVE: ("Proving", "…"),
    Step.REGISTER: ("Registering", "…"),
    Step.QUEUE: ("Queueing", "…"),
    Step.CONNECT: ("Connecting", "…"),
    Step.LABEL: ("Printing label", "…"),
}
_ORDER: tuple[str, ...] = (
    Phase.IDENTIFY,
    Phase.ASSIGN,
    Step.ISSUE,
    Step.IMAGE,
    Step.BURN,
    Step.PROVE,
    Step.REGISTER,
    Step.LABEL,
)
_FINISHED = (State.DONE, State.WAITING)


@dataclass(frozen=True)
class TileView:
    """One tile. ``kind`` selects the colour; ``sign`` means the same without colour."""

    port: str
    station: str
    kind: str
    word: str
    sign: str
    thing: str
    what: str
    todo: str
    percent: int
    passed: int
    failed: int
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
    per_hour: int
    batches: tuple[Progress, ...]


def look(database: Database) -> FloorView:
    """The content of the page, now."""
    found = tiles(database)
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
        per_hour=round(sum(tile.per_hour for tile in found)),
        batches=tuple(batches),
    )


def moment(at: str) -> str:
    """An entry's time, to the second."""
    return dt.datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def _view(tile: Tile) -> TileView:
    word, sign = _WORDS[tile.phase]
    kind = _KINDS.get(tile.phase, "busy")
    what, todo = tile.what, tile.hint
    if tile.phase == Phase.HELD:
        todo = f"leave the board connected, the line resumes by itself; {todo}"
    if tile.silent:
        kind, word, sign = "lost", "No news", "?"
        what, todo = f"station {tile.station} is silent", "check its computer; leave its boards connected"
    return TileView(
        port=_short(tile.port),
        station=tile.station,
        kind=kind,
        word=word,
        sign=sign,
        thing=tile.thing or tile.mac,
        what=what,
        todo=todo,
        percent=_percent(tile.phase, tile.fraction),
        passed=tile.passed,
        failed=tile.failed,
        seconds=f"{tile.seconds:.0f} s" if tile.seconds and kind == "good" else "",
    )


def _percent(phase: str, fraction: float) -> int:
    """The board's progress in per cent, by steps, with the image's progress inside its step."""
    if phase in (Step.QUEUE, Step.CONNECT):
        phase = Step.REGISTER
    if phase not in _ORDER:
        return 0
    return round(100 * (_ORDER.index(phase) + fraction) / len(_ORDER))


def _short(port: str) -> str:
    return port.removeprefix("/dev/").removeprefix("socket://")
