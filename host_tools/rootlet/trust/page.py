"""One self-contained HTML page: both ends of a connection drawn as a picture, then every rule and every field."""

import datetime as dt
from html import escape

from rootlet.trust.model import Certificate
from rootlet.trust.report import ChainReport, End, fields

_BOX, _HEIGHT, _GAP, _MARGIN = 340, 92, 58, 24

_STYLE = """
:root { --ok: #1a7f37; --bad: #c1121f; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.badge { display: inline-block; padding: .2rem .7rem; border-radius: 1rem; color: #fff; font-weight: 600; }
.yes { background: var(--ok); } .no { background: var(--bad); } .unasked { background: var(--soft); }
.soft { color: var(--soft); }
svg { width: 100%; height: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; }
td { border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; color: var(--soft); width: 11rem; }
details { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; margin: .5rem 0; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
.mono { font-family: ui-monospace, monospace; font-size: 13px; }
.good { color: var(--ok); font-weight: 600; } .wrong { color: var(--bad); font-weight: 600; }
"""


def render(report: ChainReport) -> str:
    """The page. It loads nothing and runs no script."""
    badge = {
        True: ("yes", "a device would connect"),
        False: ("no", "a device would not connect"),
        None: ("unasked", "seen"),
    }
    kind, text = badge[report.ok]
    roots = ", ".join(report.roots) or "(none)"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(report.target)}: {text}</title><style>{_STYLE}</style>",
        f"<h1>{escape(report.target)}</h1><p><span class='badge {kind}'>{text}</span> ",
        f"<span class=soft>judged at {report.at:%Y-%m-%d %H:%M}Z by the roots {escape(roots)}</span>",
        *(f"<p>{escape(note)}" for note in report.notes),
        _picture(report),
    ]
    for end in report.ends:
        parts.append(_section(end, report.at))
    return "\n".join(parts) + "\n"


def _section(end: End, at: dt.datetime) -> str:
    rows = [f"<tr><td>{escape(name)}<td>{escape(value)}" for name, value in end.facts]
    for rule in end.verdict.rules if end.verdict else ():
        mark = "<span class=good>✓</span>" if rule.ok else f"<span class=wrong>✗ {escape(rule.word)}</span>"
        rows.append(f"<tr><td>{escape(rule.name)}<td>{mark} {escape(rule.text)}")
    rows += [f"<tr><td>{escape(found.kind)}<td>{escape(found.text)}" for found in end.links.findings]
    if end.anchor_text:
        rows.append(f"<tr><td>the root is<td>{escape(end.anchor_text)}")
    blocks = [_block(certificate, at, "sent") for certificate in end.sent]
    if end.anchor and end.anchor not in end.sent:
        blocks.append(_block(end.anchor, at, "not sent"))
    return f"<h2>{escape(end.title)}</h2><table>{''.join(rows)}</table>{''.join(blocks)}"


def _block(certificate: Certificate, at: dt.datetime, how: str) -> str:
    rows = "".join(f"<tr><td>{escape(name)}<td class=mono>{escape(value)}" for name, value in fields(certificate, at))
    name = escape(certificate.common_name)
    return f"<details><summary>{name} <span class=soft>({how})</span></summary><table>{rows}</table></details>"


def _picture(report: ChainReport) -> str:
    columns = [end for end in report.ends if end.sent][:3]
    if not columns:
        return ""
    tallest = max(len(end.drawn) + _lacks_issuer(end) for end in columns)
    width = _MARGIN * 2 + len(columns) * _BOX + (len(columns) - 1) * _GAP * 2
    height = _MARGIN * 2 + 30 + tallest * _HEIGHT + (tallest - 1) * _GAP
    drawn = [_column(end, report, _MARGIN + number * (_BOX + _GAP * 2), tallest) for number, end in enumerate(columns)]
    label = escape("; ".join(f"{end.title}: {' over '.join(c.common_name for c in end.drawn)}" for end in columns))
    return (
        f"<svg viewBox='0 0 {width} {height}' style='max-width:{width * 1.3:.0f}px' role=img aria-label='{label}' "
        "font-family='system-ui, sans-serif'>"
        "<defs><marker id=up viewBox='0 0 10 10' refX=9 refY=5 markerWidth=7 markerHeight=7 orient=auto>"
        "<path d='M0 0L10 5L0 10z' fill='#57606a'/></marker></defs>" + "".join(drawn) + "</svg>"
    )


def _column(end: End, report: ChainReport, x: int, tallest: int) -> str:
    chain = end.drawn
    top = _MARGIN + 30 + (tallest - len(chain)) * (_HEIGHT + _GAP)
    # the ends of all columns stand on one line
    parts = [f"<text x={x} y={_MARGIN + 8} font-size=15 font-weight=600 fill='#1b1f24'>{escape(_cut(end.title, 44))}</text>"]
    if _lacks_issuer(end):
        parts.append(_ghost(chain[0], x, top - _HEIGHT - _GAP))
    for number, certificate in enumerate(chain):
        y = top + number * (_HEIGHT + _GAP)
        parts.append(_card(certificate, end, report, x, y))
        if number or _lacks_issuer(end):
            parts.append(_arrow(certificate, chain[number - 1] if number else None, x, y))
    return "".join(parts)


def _lacks_issuer(end: End) -> bool:
    return end.verdict is not None and end.verdict.anchor is None and not end.drawn[0].self_issued


def _ghost(child: Certificate, x: int, y: int) -> str:
    # The issuer that would have to be there.
    return (
        f"<rect x={x} y={y} width={_BOX} height={_HEIGHT} rx=8 fill='#fff5f5' stroke='#c1121f' stroke-width=2 "
        "stroke-dasharray='3 5' />"
        f"<text x={x + 14} y={y + 24} font-size=15 font-weight=600 fill='#c1121f'>{escape(_cut(child.issuer, 40))}</text>"
        f"<text x={x + 14} y={y + 46} font-size=12 fill='#c1121f'>not embedded, and not sent where the device looks</text>"
    )


def _card(certificate: Certificate, end: End, report: ChainReport, x: int, y: int) -> str:
    is_anchor = certificate == end.anchor
    dated = certificate.not_before <= report.at <= certificate.not_after
    refused = {rule.name for rule in end.verdict.broken} if end.verdict else set()
    unsound = not dated or (end.verdict is not None and certificate == end.drawn[0] and not is_anchor)
    unsound = unsound or (certificate == end.sent[0] and bool(refused & {"host", "purpose"}))
    colour = "#c1121f" if unsound else "#1a7f37" if is_anchor else "#0b5cad"
    dash = "" if certificate in end.sent else " stroke-dasharray='7 5'"
    role = "embedded root" if is_anchor and end.verdict else "root" if certificate.self_issued else ""
    role = role or ("CA" if certificate.is_authority else "end of the chain")
    if is_anchor and certificate not in end.sent:
        role += ", not sent"
    lines = [
        (24, 15, 600, _cut(certificate.common_name, 40)),
        (46, 12, 400, f"{role} · {certificate.key}"),
        (64, 12, 400, f"until {certificate.not_after:%Y-%m-%d}" + ("" if dated else " — NOT VALID at this date")),
        (82, 11, 400, f"SKI {_short(certificate.ski)}" if certificate.ski else "no SKI"),
    ]
    texts = "".join(
        f"<text x={x + 14} y={y + dy} font-size={size} font-weight={weight} fill='#1b1f24'>{escape(text)}</text>"
        for dy, size, weight, text in lines
    )
    frame = f"<rect x={x} y={y} width={_BOX} height={_HEIGHT} rx=8 fill='#fff' stroke='{colour}' stroke-width=2.5{dash} />"
    return frame + texts


def _arrow(child: Certificate, parent: Certificate | None, x: int, y: int) -> str:
    middle = x + 40
    fits = parent is None or not child.aki or not parent.ski or child.aki == parent.ski
    text = f"AKI {_short(child.aki)}" + ("" if fits else " — points elsewhere") if child.aki else "by name only: no AKI"
    return (
        f"<line x1={middle} y1={y} x2={middle} y2={y - _GAP + 3} stroke='#57606a' stroke-width=2 marker-end='url(#up)' />"
        f"<text x={middle + 12} y={y - _GAP // 2 + 4} font-size=12 fill='#57606a'>{escape(text)}</text>"
    )


def _short(identifier: str) -> str:
    return identifier if len(identifier) <= 26 else f"{identifier[:14]}…{identifier[-8:]}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
