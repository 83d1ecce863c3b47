"""One self-contained HTML page about a connection: a picture of both ends, then every check and every field."""

from collections.abc import Iterator
from dataclasses import dataclass

from rootlet.templates import environment
from rootlet.trust.model import Certificate
from rootlet.trust.report import ChainReport, End, fields

_BOX, _HEIGHT, _GAP, _MARGIN = 340, 92, 58, 24
_BADGES = {
    True: ("yes", "a device would connect"),
    False: ("no", "a device would not connect"),
    None: ("unasked", "seen"),
}


@dataclass(frozen=True)
class Line:
    """One line of a card; ``dy`` is its place below the card's top."""

    dy: int
    size: int
    weight: int
    text: str


@dataclass(frozen=True)
class Card:
    """A certificate in the picture, or the name of one that is ``missing``; ``arrow`` labels the link to its issuer."""

    x: int
    y: int
    missing: str = ""
    colour: str = ""
    dashed: bool = False
    lines: tuple[Line, ...] = ()
    arrow: str = ""


@dataclass(frozen=True)
class Column:
    """One end of the connection, from the root down."""

    x: int
    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Picture:
    """The picture of all ends, in pixels."""

    width: int
    height: int
    label: str
    columns: tuple[Column, ...]


def render(report: ChainReport) -> str:
    """The page. It loads nothing and runs no script."""
    kind, text = _BADGES[report.ok]
    sizes = {"box": _BOX, "card_height": _HEIGHT, "gap": _GAP, "margin": _MARGIN}
    values = {"report": report, "kind": kind, "text": text, "picture": _picture(report), "fields": fields, "blocks": _blocks}
    return environment("rootlet.trust").get_template("chain.html").render(values | sizes)


def _blocks(end: End) -> Iterator[tuple[Certificate, str]]:
    for certificate in end.sent:
        yield certificate, "sent"
    if end.anchor and end.anchor not in end.sent:
        yield end.anchor, "not sent"


def _picture(report: ChainReport) -> Picture | None:
    ends = [end for end in report.ends if end.sent][:3]
    if not ends:
        return None
    tallest = max(len(end.drawn) + _lacks_issuer(end) for end in ends)
    width = _MARGIN * 2 + len(ends) * _BOX + (len(ends) - 1) * _GAP * 2
    height = _MARGIN * 2 + 30 + tallest * _HEIGHT + (tallest - 1) * _GAP
    label = "; ".join(f"{end.title}: {' over '.join(c.common_name for c in end.drawn)}" for end in ends)
    columns = tuple(_column(end, report, _MARGIN + number * (_BOX + _GAP * 2), tallest) for number, end in enumerate(ends))
    return Picture(width, height, label, columns)


def _column(end: End, report: ChainReport, x: int, tallest: int) -> Column:
    chain = end.drawn
    # The lowest certificates of all columns are on one line.
    top = _MARGIN + 30 + (tallest - len(chain)) * (_HEIGHT + _GAP)
    cards = []
    if _lacks_issuer(end):
        cards.append(Card(x, top - _HEIGHT - _GAP, missing=_cut(chain[0].issuer, 40)))
    for number, certificate in enumerate(chain):
        linked = bool(number) or _lacks_issuer(end)
        arrow = _arrow(certificate, chain[number - 1] if number else None) if linked else ""
        cards.append(_card(certificate, end, report, (x, top + number * (_HEIGHT + _GAP)), arrow))
    return Column(x, _cut(end.title, 44), tuple(cards))


def _lacks_issuer(end: End) -> bool:
    return end.verdict is not None and end.verdict.anchor is None and not end.drawn[0].self_issued


def _card(certificate: Certificate, end: End, report: ChainReport, place: tuple[int, int], arrow: str) -> Card:
    is_anchor = certificate == end.anchor
    dated = certificate.not_before <= report.at <= certificate.not_after
    refused = {rule.name for rule in end.verdict.broken} if end.verdict else set()
    unsound = not dated or (end.verdict is not None and certificate == end.drawn[0] and not is_anchor)
    unsound = unsound or (certificate == end.sent[0] and bool(refused & {"host", "purpose"}))
    role = "embedded root" if is_anchor and end.verdict else "root" if certificate.self_issued else ""
    role = role or ("CA" if certificate.is_authority else "end of the chain")
    if is_anchor and certificate not in end.sent:
        role += ", not sent"
    lines = (
        Line(24, 15, 600, _cut(certificate.common_name, 40)),
        Line(46, 12, 400, f"{role} · {certificate.key}"),
        Line(64, 12, 400, f"until {certificate.not_after:%Y-%m-%d}" + ("" if dated else " — NOT VALID at this date")),
        Line(82, 11, 400, f"SKI {_short(certificate.ski)}" if certificate.ski else "no SKI"),
    )
    colour = "#c1121f" if unsound else "#1a7f37" if is_anchor else "#0b5cad"
    return Card(*place, colour=colour, dashed=certificate not in end.sent, lines=lines, arrow=arrow)


def _arrow(child: Certificate, parent: Certificate | None) -> str:
    if not child.aki:
        return "by name only: no AKI"
    fits = parent is None or not parent.ski or child.aki == parent.ski
    return f"AKI {_short(child.aki)}" + ("" if fits else " — points elsewhere")


def _short(identifier: str) -> str:
    return identifier if len(identifier) <= 26 else f"{identifier[:14]}…{identifier[-8:]}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
