"""The timeline of a case as a picture: the places of connections, packets and labels, in pixels."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, LEFT, RIGHT = 1080, 16, 24
BAR_TOP, BAR, IN_Y, OUT_Y, AXIS_Y, LEGEND_Y, HEIGHT = 34, 18, 74, 98, 116, 146, 152
SMALLEST_GAP = 26
"""Pixels below which a wait is not labelled."""
CLUSTER = 8
"""Pixels between marks that the label of the first stands for."""
CHARACTER = 7
"""Pixels that a character of a label takes."""
RADIUS = 3.2
"""Pixels of a mark."""
SIZE = {
    "width": WIDTH,
    "height": HEIGHT,
    "left": LEFT,
    "right": RIGHT,
    "top": BAR_TOP,
    "bar": BAR,
    "axis": AXIS_Y,
    "legend": LEGEND_Y,
    "radius": RADIUS,
}
"""The fixed lengths, by their names in the template."""

Event = Mapping[str, Any]
Place = Callable[[float], float]


@dataclass(frozen=True)
class Tick:
    """A line of the time axis; ``text`` is empty where there is no room for it."""

    x: float
    text: str


@dataclass(frozen=True)
class Bar:
    """A connection. ``wait`` is the time before it, where there is room for the label."""

    x: float
    width: float
    colour: str
    title: str
    text: str
    wait: str = ""
    wait_x: float = 0.0


@dataclass(frozen=True)
class Mark:
    """A packet (``in`` or ``out``) or a ``trouble``; ``text`` is empty where there is no room for it."""

    x: float
    y: int
    kind: str
    title: str
    text: str
    text_x: float


@dataclass(frozen=True)
class Picture:
    """All parts of the picture, in the order of drawing."""

    ticks: list[Tick]
    bars: list[Bar]
    marks: list[Mark]


def draw(events: Sequence[Event]) -> Picture:
    """The picture of a case's events."""
    end = float(max(event["at"] for event in events))
    # The axis starts shortly before the first connection: booting is not of interest.
    first = min((event["at"] for event in events if event["kind"] == "tcp"), default=0.0)
    start = max(0.0, first - 0.04 * max(end - first, 0.02))
    span = max(end - start, 0.02)

    def x(at: float) -> float:
        return float(LEFT + (max(at, start) - start) / span * (WIDTH - LEFT - RIGHT))

    marks = [*_packets(events, "in", IN_Y, x), *_packets(events, "out", OUT_Y, x), *_troubles(events, x)]
    return Picture(list(_ticks(start, end, x)), list(_bars(events, end, x)), marks)


def describe(event: Event) -> str:
    """An event as text."""
    kind, text = event["kind"], event.get("text", "")
    if kind in ("in", "out"):
        fields = ", ".join(f"{key} {value}" for key, value in event["fields"].items())
        return f"{'device →' if kind == 'in' else '← server'} {event['packet']} {fields} {text}".strip()
    rest = {key: value for key, value in event.items() if key not in ("at", "connection", "kind", "text")}
    details = ", ".join(f"{key} {value}" for key, value in rest.items() if value not in (None, []))
    return f"{kind}: {text} {details}".strip()


def _packets(events: Sequence[Event], kind: str, y: int, x: Place) -> Iterator[Mark]:
    mine = [event for event in events if event["kind"] == kind]
    places = [x(event["at"]) for event in mine]
    free = 0.0
    for event, at in zip(mine, places, strict=True):
        following = bisect_right(places, at + CLUSTER)
        until = places[following] if following < len(places) else WIDTH
        text, text_x, free = _label(_short(event), at, free, until)
        yield Mark(at, y, kind, _title(event), text, text_x)


def _troubles(events: Sequence[Event], x: Place) -> Iterator[Mark]:
    free = 0.0
    for event in events:
        if event["kind"] in ("alert-in", "alert-out", "malformed") and event.get("text") != "close_notify":
            at = x(event["at"])
            text, text_x, free = _label(event.get("text", ""), at, free)
            yield Mark(at, BAR_TOP - 8, "trouble", _title(event), text, text_x)


def _label(text: str, at: float, free: float, until: float = WIDTH) -> tuple[str, float, float]:
    """The label of a mark, its place, and where the next label may begin. It is empty without room before ``until``."""
    width = CHARACTER * len(text)
    if at + 6 + width > WIDTH:
        at -= width + 12
    elif at + 6 + width > until - RADIUS:
        return "", at, free
    if at < free:
        return "", at, free
    return text, at + 6, at + 10 + width


def _bars(events: Sequence[Event], end: float, x: Place) -> Iterator[Bar]:
    previous: float | None = None
    for opened in (event for event in events if event["kind"] == "tcp"):
        mine = [event for event in events if event["connection"] == opened["connection"]]
        closed = next((event["at"] for event in mine if event["kind"] == "closed"), end)
        how = next((f"; {event['by']}: {event.get('text', '')}" for event in mine if event["kind"] == "closed"), "")
        answered = any(event.get("packet") == "CONNACK" for event in mine)
        failed = any(event["kind"] == "tls-failed" for event in mine)
        left, width = x(opened["at"]), max(2.0, x(closed) - x(opened["at"]))
        wait, wait_x = "", 0.0
        if previous is not None and left - x(previous) > SMALLEST_GAP:
            wait, wait_x = f"{opened['at'] - previous:.1f}", (left + x(previous)) / 2
        yield Bar(
            left,
            width,
            "--bar" if answered else "--bad" if failed else "--pending",
            f"connection {opened['connection']}: {opened['at']:.2f} to {closed:.2f} s{how}",
            str(opened["connection"]) if width > 14 else "",
            wait,
            wait_x,
        )
        previous = closed


def _ticks(start: float, end: float, x: Place) -> Iterator[Tick]:
    span = max(end - start, 0.02)
    step = next(s for s in _steps() if span / s <= 12)
    tick = -(-start // step) * step
    digits = 0 if step >= 1 else 2 if step >= 0.01 else 3
    while tick <= end + step / 1000:
        text = f"{tick:.{digits}f} s"
        yield Tick(x(tick), text if x(tick) + 3 + CHARACTER * len(text) < WIDTH else "")
        tick += step


def _steps() -> Sequence[float]:
    return [factor * 10.0**power for power in range(-3, 6) for factor in (1, 2, 5)]


def _short(event: Event) -> str:
    number = event.get("fields", {}).get("identifier")
    return str(event["packet"]).capitalize() + (f" {number}" if number else "")


def _title(event: Event) -> str:
    return f"{event['at']:.3f} s: {describe(event)}"
