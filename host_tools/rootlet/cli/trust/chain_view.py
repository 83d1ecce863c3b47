"""The report of ``rootlet chain`` in a terminal."""

import datetime as dt
import itertools

from rich.markup import escape
from rich.tree import Tree

from rootlet.cli.output import out
from rootlet.trust.model import Certificate
from rootlet.trust.report import ChainReport, End, fields


def show(report: ChainReport) -> None:
    """Each chain: its tree, its certificates block by block, what is odd, the rules; then the verdict."""
    for end in report.ends:
        out.print(f"[bold]{escape(end.title)}[/]")
        for name, value in end.facts:
            out.print(f"  {name}: {escape(value)}")
        if end.sent:
            out.print(_tree(end))
        for number, certificate in enumerate(end.sent, 1):
            _block(f"{number} of {len(end.sent)}, sent", certificate, report.at)
        if end.anchor and end.anchor not in end.sent:
            _block("the root, not sent", end.anchor, report.at)
        for finding in end.links.findings:
            out.print(f"  [yellow]{finding.kind}[/]: {escape(finding.text)}")
        _rules(end)
        if end.anchor_text:
            out.print(f"  the root is {escape(end.anchor_text)}")
        out.print()
    for note in report.notes:
        out.print(f"[yellow]note[/]: {escape(note)}")
    roots = ", ".join(report.roots) or "none"
    if report.ok is not None:
        what = "[bold green]would connect[/]" if report.ok else "[bold red]would not connect[/]"
        out.print(f"A device with these roots ({escape(roots)}) {what} at {report.at:%Y-%m-%d}.")


def _tree(end: End) -> Tree:
    chain = end.drawn
    tree = Tree(_label(chain[0], end), guide_style="dim")
    branch = tree
    for parent, certificate in itertools.pairwise(chain):
        link = "by name only" if not certificate.aki or not parent.ski else f"AKI {certificate.aki}"
        branch = branch.add(f"{_label(certificate, end)} [dim]{link}[/]")
    return tree


def _label(certificate: Certificate, end: End) -> str:
    how = "" if certificate in end.sent else " [dim](not sent)[/]"
    if certificate == end.anchor:
        return f"[green]{escape(certificate.common_name)}[/]{how} [dim]SKI {certificate.ski}[/]"
    top = certificate == end.drawn[0]
    name = escape(certificate.common_name)
    return f"[red]{name}[/] [dim]ends here, at no embedded root[/]" if top and end.verdict else f"{name}{how}"


def _block(title: str, certificate: Certificate, at: dt.datetime) -> None:
    out.print(f"  [bold]{escape(certificate.common_name)}[/] [dim]({title})[/]")
    for name, value in fields(certificate, at):
        out.print(f"    {name:<20} {escape(value)}")


def _rules(end: End) -> None:
    for rule in end.verdict.rules if end.verdict else ():
        mark = "[green]ok[/] " if rule.ok else "[red]NO[/] "
        word = f" [red]({rule.word})[/]" if rule.word and not rule.ok else ""
        out.print(f"  {mark} {rule.name:<11} {escape(rule.text)}{word}")
