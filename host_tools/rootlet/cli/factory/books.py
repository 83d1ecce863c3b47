"""``rootlet factory verify-books | recover``: whether the ledger is what its entries and its stations' receipts say."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.factory.options import ledger_option, opened, receipts_directory, receipts_option, station_name
from rootlet.cli.options import json_option
from rootlet.cli.output import emit_json, out
from rootlet.errors import BadInput, RootletError
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.factory.books import Head, LedgerReport
    from rootlet.factory.high_water import HighWater


@panels.command(
    epilog="""\b
Examples:
  rootlet factory verify-books
  rootlet factory verify-books --kept 1289:5f0c…
"""
)
@click.option("--kept", help="A head that an earlier run printed, as NUMBER:HASH; it must still be in the chain.")
@ledger_option
@receipts_option
@json_option
def verify_books(kept: str | None, where: str, receipts: Path | None, as_json: bool) -> None:
    """Find an altered, removed or reordered entry. Exits with 1 where the ledger is not consistent.

    It also finds that the ledger was restored from an older copy than a station has receipts for.

    Keep the head that it prints somewhere else: who can write the whole ledger can write a whole new chain, and
    only a head that was kept shows it.
    """
    from rootlet.factory import books, high_water

    with opened(where) as database:
        report = books.verify_books(database, kept=_head(kept))
        found = high_water.look(database, receipts_directory(receipts))
    findings = report.findings + found.findings
    if as_json:
        emit_json(_facts(report, found, findings))
    else:
        _show(report, found, findings)
    if findings:
        raise RootletError(
            f"the ledger is not consistent: {number_of(len(findings), 'finding')}",
            hint="stop the line, keep this ledger as it is, and compare it with a backup",
        )


def _facts(report: "LedgerReport", found: "HighWater", findings: list[str]) -> dict[str, object]:
    marks = [{"station": mark.file.station, "entry": mark.last.seq, "known": mark.known} for mark in found.marks]
    head = f"{report.head.seq}:{report.head.hash}"
    numbers = {"entries": report.entries, "identities": report.identities}
    return {"head": head, **numbers, "receipts": marks, "without_receipts": found.without, "findings": findings}


def _show(report: "LedgerReport", found: "HighWater", findings: list[str]) -> None:
    for finding in findings:
        out.print(escape(finding))
    entries = number_of(report.entries, "entry")
    things = number_of(report.identities, "identity")
    out.print(f"{entries}, {things}; head {report.head.seq}:{report.head.hash}")
    stations = [escape(str(mark)) for mark in found.marks] + [f"none of {escape(name)}" for name in found.without]
    out.print(f"receipts: {'; '.join(stations) or 'none'}")


def _head(kept: str | None) -> "Head | None":
    from rootlet.factory.books import Head

    if kept is None:
        return None
    number, _, digest = kept.partition(":")
    if not number.isdigit() or len(digest) != 64:
        raise BadInput(f"{kept!r} is not a head", hint="give it as verify-books printed it: NUMBER:HASH")
    return Head(int(number), digest)


@panels.command(
    epilog="""\b
Examples:
  rootlet factory recover --reason "disk failed, copy of 24 November"
  rootlet factory recover --without bench-2 --reason "its computer is gone"
"""
)
@click.option(
    "--without", multiple=True, metavar="STATION", help="Go on without the receipts of a station that has none; repeatable."
)
@click.option("--reason", required=True, help="For the books.")
@click.option("--station", default=station_name, help="The name in the books. [default: this computer's]")
@ledger_option
@receipts_option
def recover(without: tuple[str, ...], reason: str, station: str, where: str, receipts: Path | None) -> None:
    """Enter again what a restored ledger lost, from the receipts.

    It is for a ledger of which no newer copy exists. Every name that was handed out is then taken, by the board
    that has it, and the line runs again. Batches that were opened after the copy was made are opened again first.
    """
    from rootlet.factory import high_water, recovery
    from rootlet.factory.ledger import Ledger

    with opened(where) as database:
        kept = receipts_directory(receipts)
        found = high_water.look(database, kept)
        if not found.findings and not without:
            out.print("nothing to recover: the ledger holds all that its stations have receipts for")
            return
        ledger = Ledger(database, station=station, receipts=kept)
        done = recovery.recover(ledger, found, without=without, reason=reason)
    for thing in done.things:
        out.print(f"recovered {escape(thing)}")
    entries, things = number_of(done.entries, "entry"), number_of(len(done.things), "identity")
    out.print(f"{entries} of {things} recovered")
    if done.conflicts:
        for conflict in done.conflicts:
            out.print(escape(conflict))
        raise RootletError(
            f"{number_of(len(done.conflicts), 'conflict')}: the restored ledger was used before it was recovered",
            hint="find the boards, erase one of each, and scrap the name: rootlet factory scrap",
        )
