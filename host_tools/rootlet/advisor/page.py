"""Results for people: one HTML page that needs nothing else, with a timeline of packets for each case."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from html import escape
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

Event = Mapping[str, Any]
Place = Callable[[float], float]

_STYLE = """
:root { --pass:#1a7f37; --warn:#b35900; --fail:#c62828; --not-run:#6b7280; --in:#1f5fbf; --out:#7a5195; --line:#d5d9e0;
  --ink:#1d2430; --soft:#5a6474; --paper:#fff; --bar:#cfe3d6; --bad:#f3cccc; --pending:#e4e7ec; }
@media (prefers-color-scheme: dark) { :root { --pass:#4cc26b; --warn:#f0a04b; --fail:#ff7b72; --not-run:#9aa4b2;
  --in:#7fb0ff; --out:#c9a4e0; --line:#3a4250; --ink:#e6eaf0; --soft:#a3adbb; --paper:#161b22; --bar:#23442f; --bad:#5b2626;
  --pending:#2b323d; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1140px; padding: 24px 28px 60px; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper) }
h1 { font-size: 24px; margin: 0 0 4px } h2 { font-size: 17px; margin: 0 } p { margin: 4px 0 } .soft { color: var(--soft) }
table { border-collapse: collapse; width: 100%; margin: 14px 0 }
th { text-align: left; color: var(--soft); font-weight: 500 }
td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.id { white-space: nowrap } .evidence { overflow-wrap: anywhere }
section { border-top: 2px solid var(--line); padding: 18px 0 6px; margin-top: 18px }
.badge { display: inline-block; min-width: 62px; text-align: center; border-radius: 4px; padding: 0 8px; font-size: 13px;
  font-weight: 600; color: var(--paper) }
.pass { background: var(--pass) } .warn { background: var(--warn) } .fail { background: var(--fail) }
.not-run { background: var(--not-run) }
svg { display: block; width: 100%; height: auto; margin: 8px 0 }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) }
svg text.wait { fill: var(--ink); font-weight: 600; text-anchor: middle } svg .in { fill: var(--in) }
svg .out { fill: var(--out) } details { margin: 4px 0 } summary { cursor: pointer; color: var(--soft) }
details td { font: 12px/1.45 ui-monospace, monospace; overflow-wrap: anywhere }
td.at { text-align: right; white-space: nowrap }
a { color: inherit }
"""


def render(facts: Mapping[str, Any]) -> str:
    """The page for what ``report.facts`` gives."""
    counts = ", ".join(f"{count} {result}" for result, count in facts["results"].items() if count)
    cases: Sequence[Mapping[str, Any]] = facts["cases"]
    rows = "".join(
        f'<tr><td>{_badge(case["result"])}</td><td class="id"><a href="#{_anchor(case)}">{escape(_name(case))}</a></td>'
        f'<td class="evidence">{escape(case["evidence"])}</td></tr>'
        for case in cases
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>rootlet advisor: {escape(counts)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(counts)}</h1>"
        f'<p class="soft">{escape(facts["device"])} · rootlet {escape(facts["rootlet"])} · seed {facts["seed"]}</p>'
        "<table><thead><tr><th>result</th><th>case</th><th>evidence</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{''.join(map(_case, cases))}</body></html>\n"
    )


def _case(case: Mapping[str, Any]) -> str:
    events: Sequence[Event] = case["events"]
    number = f"Device Advisor's {case['number']}" if case["number"] else "ours"
    speed = case["speed"]
    compressed = f" · time ran {speed:g} times as fast: all times are the device's own" if speed != 1 else ""
    listed = "".join(
        f'<tr><td class="at">{event["at"]:.3f}</td><td>{event["connection"] or ""}</td><td>{escape(_what(event))}</td></tr>'
        for event in events
    )
    output = escape("\n".join(case["output"][-200:]))
    connected = any(event["connection"] for event in events)
    return (
        f'<section id="{_anchor(case)}"><h2>{_badge(case["result"])} {escape(_name(case))}</h2>'
        f'<p>{escape(case["summary"])}</p><p class="evidence"><b>{escape(case["evidence"])}</b></p>'
        f'<p class="soft">{number} · {case["seconds"]:.1f} s{compressed}</p>{_svg(events) if connected else ""}'
        f"<details><summary>{len(events)} events</summary><table><thead><tr><th>s</th><th>connection</th><th>what</th></tr>"
        f"</thead><tbody>{listed}</tbody></table></details>"
        + (f"<details><summary>what the device printed</summary><pre>{output}</pre></details>" if output else "")
        + "</section>"
    )


def _svg(events: Sequence[Event]) -> str:
    end = float(max(event["at"] for event in events))
    # A short look before the first connection is enough: booting is no news.
    first = min((event["at"] for event in events if event["kind"] == "tcp"), default=0.0)
    start = max(0.0, first - 0.04 * max(end - first, 0.02))
    span = max(end - start, 0.02)

    def x(at: float) -> float:
        return float(LEFT + (max(at, start) - start) / span * (WIDTH - LEFT - RIGHT))

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="timeline">', _axis(start, end, x)]
    parts += _connections(events, end, x)
    for direction, y in (("in", IN_Y), ("out", OUT_Y)):
        mine = [event for event in events if event["kind"] == direction]
        free = 0.0
        places = [x(event["at"]) for event in mine]
        for event, at in zip(mine, places, strict=True):
            parts.append(_mark(event, at, y, direction))
            following = bisect_right(places, at + CLUSTER)
            until = places[following] if following < len(places) else WIDTH
            label, free = _label(_short(event), at, y, direction, free, until)
            parts.append(label)
    free = 0.0
    for event in events:
        if _is_trouble(event):
            at = x(event["at"])
            label, free = _label(event.get("text", ""), at, BAR_TOP - 8, "trouble", free)
            mark = f'<path d="M{at:.1f} {BAR_TOP - 3} l5 -9 h-10 z" fill="var(--fail)"/>'
            parts.append(f"<g><title>{escape(_title(event))}</title>{mark}{label}</g>")
    parts.append(
        f'<text x="{LEFT}" y="{LEGEND_Y}">bars: connections; between them: the device\'s waits, in seconds · '
        '<tspan class="in">upper marks: from the device</tspan> · <tspan class="out">lower marks: from the server</tspan>'
        "</text></svg>"
    )
    return "".join(parts)


def _is_trouble(event: Event) -> bool:
    return event["kind"] in ("alert-in", "alert-out", "malformed") and event.get("text") != "close_notify"


def _label(text: str, at: float, y: int, kind: str, free: float, until: float = WIDTH) -> tuple[str, float]:
    """A label beside a mark, where there is room from ``free`` to ``until``; and where there is room after it."""
    width = CHARACTER * len(text)
    if at + 6 + width > WIDTH:
        at -= width + 12
    elif at + 6 + width > until - RADIUS:
        return "", free
    if at < free:
        return "", free
    return f'<text class="{kind}" x="{at + 6:.1f}" y="{y + 4}">{escape(text)}</text>', at + 10 + width


def _connections(events: Sequence[Event], end: float, x: Place) -> list[str]:
    parts = []
    previous: float | None = None
    for opened in (event for event in events if event["kind"] == "tcp"):
        mine = [event for event in events if event["connection"] == opened["connection"]]
        closed = next((event["at"] for event in mine if event["kind"] == "closed"), end)
        kinds = {event["kind"] for event in mine}
        answered = any(event.get("packet") == "CONNACK" for event in mine)
        colour = "--bar" if answered else "--bad" if "tls-failed" in kinds else "--pending"
        left, width = x(opened["at"]), max(2.0, x(closed) - x(opened["at"]))
        how = next((f"; {event['by']}: {event.get('text', '')}" for event in mine if event["kind"] == "closed"), "")
        parts.append(
            f"<g><title>connection {opened['connection']}: {opened['at']:.2f} to {closed:.2f} s{escape(how)}</title>"
            f'<rect x="{left:.1f}" y="{BAR_TOP}" width="{width:.1f}" height="{BAR}" rx="2" fill="var({colour})" '
            'stroke="var(--soft)" stroke-width=".6"/></g>'
        )
        if width > 14:
            parts.append(f'<text x="{left + 4:.1f}" y="{BAR_TOP + 13}">{opened["connection"]}</text>')
        if previous is not None and x(opened["at"]) - x(previous) > SMALLEST_GAP:
            middle = (x(opened["at"]) + x(previous)) / 2
            parts.append(f'<text class="wait" x="{middle:.1f}" y="{BAR_TOP + 13}">{opened["at"] - previous:.1f}</text>')
        previous = closed
    return parts


def _axis(start: float, end: float, x: Place) -> str:
    span = max(end - start, 0.02)
    step = next(s for s in _steps() if span / s <= 12)
    parts = [f'<line x1="{LEFT}" y1="{AXIS_Y}" x2="{WIDTH - RIGHT}" y2="{AXIS_Y}" stroke="var(--line)"/>']
    tick = -(-start // step) * step
    digits = 0 if step >= 1 else 2 if step >= 0.01 else 3
    while tick <= end + step / 1000:
        shown = f"{tick:.{digits}f} s"
        parts.append(
            f'<line x1="{x(tick):.1f}" y1="{BAR_TOP}" x2="{x(tick):.1f}" y2="{AXIS_Y + 4}" stroke="var(--line)" '
            'stroke-dasharray="2 3"/>'
        )
        if x(tick) + 3 + CHARACTER * len(shown) < WIDTH:
            parts.append(f'<text x="{x(tick) + 3:.1f}" y="{AXIS_Y + 10}">{shown}</text>')
        tick += step
    return "".join(parts)


def _steps() -> Sequence[float]:
    return [factor * 10.0**power for power in range(-3, 6) for factor in (1, 2, 5)]


def _mark(event: Event, at: float, y: int, direction: str) -> str:
    return (
        f"<g><title>{escape(_title(event))}</title>"
        f'<line x1="{at:.1f}" y1="{BAR_TOP + BAR}" x2="{at:.1f}" y2="{y}" stroke="var(--{direction})" stroke-width=".5"/>'
        f'<circle cx="{at:.1f}" cy="{y}" r="{RADIUS}" fill="var(--{direction})"/></g>'
    )


def _short(event: Event) -> str:
    number = event.get("fields", {}).get("identifier")
    return str(event["packet"]).capitalize() + (f" {number}" if number else "")


def _title(event: Event) -> str:
    return f"{event['at']:.3f} s: {_what(event)}"


def _what(event: Event) -> str:
    kind, text = event["kind"], event.get("text", "")
    if kind in ("in", "out"):
        fields = ", ".join(f"{key} {value}" for key, value in event["fields"].items())
        return f"{'device →' if kind == 'in' else '← server'} {event['packet']} {fields} {text}".strip()
    rest = {key: value for key, value in event.items() if key not in ("at", "connection", "kind", "text")}
    details = ", ".join(f"{key} {value}" for key, value in rest.items() if value not in (None, []))
    return f"{kind}: {text} {details}".strip()


def _badge(result: str) -> str:
    return f'<span class="badge {result.replace(" ", "-")}">{result}</span>'


def _name(case: Mapping[str, Any]) -> str:
    again = f" #{case['repetition'] + 1}" if case["repetition"] else ""
    return f"{case['id']}{again}"


def _anchor(case: Mapping[str, Any]) -> str:
    return escape(f"{case['id']}-{case['repetition']}")
