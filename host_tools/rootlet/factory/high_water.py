"""Whether a ledger is as new as the receipts that its stations have: an older copy would hand names out a second time."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from rootlet.factory import chain
from rootlet.factory.database import Database, LedgerUnavailable
from rootlet.factory.receipts import Receipt, ReceiptFile, files
from rootlet.factory.schema import ENTRIES

RECOVER = "recover"
"""The step of the entry that says which receipts were dealt with, and which are given up."""


class OutdatedLedger(LedgerUnavailable):
    """The ledger has forgotten what a station entered. No board is assigned an identity until somebody deals with it."""


@dataclass(frozen=True)
class Mark:
    """How far a station has come: its last receipt, and whether the ledger holds it or has dealt with it."""

    file: ReceiptFile
    last: Receipt
    known: bool

    def __str__(self) -> str:
        return f"{self.file.station} to entry {self.last.seq} of {self.last.at[:16]} UTC"


@dataclass
class HighWater:
    """What the receipts in a directory say of a ledger.

    ``without`` are stations that assigned identities and have no receipts there; ``replaced`` are the receipts of other
    ledgers that were at the same place.
    """

    marks: list[Mark] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    replaced: list[ReceiptFile] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """What the ledger has forgotten, in words."""
        forgotten = [
            f"the ledger does not hold entry {mark.last.seq} of {mark.last.at[:16]} UTC, for which {mark.file.station} "
            "has a receipt: it was restored from an older copy, or rewritten"
            for mark in self.marks
            if not mark.known
        ]
        return forgotten + [
            f"{one.station} has receipts of another ledger that was at {one.place}: it was replaced by a new one"
            for one in self.replaced
        ]


def look(database: Database, directory: Path) -> HighWater:
    """Compare a ledger with the receipts in ``directory``. Raises RootletError for damaged receipts."""
    with database.reading() as connection:
        ledger = chain.ledger_id(connection)
        settled = _settled(connection)
        found = HighWater()
        stations: set[str] = set()
        for file in files(directory):
            last = file.last()
            if last is None:
                continue
            if file.ledger == ledger:
                found.marks.append(Mark(file, last, _covers(connection, file, last)))
                stations.add(file.station)
            elif file.place == database.place and file.ledger not in settled.replaced:
                found.replaced.append(file)
        assigning = sa.select(ENTRIES.c.station).where(ENTRIES.c.step == "assign").distinct()
        assigned = {str(row.station) for row in connection.execute(assigning)}
        found.without = sorted(assigned - stations - settled.without)
    return found


def check(database: Database, directory: Path) -> HighWater:
    """Raise OutdatedLedger unless the ledger holds all that its stations have receipts for, and each of them has some."""
    found = look(database, directory)
    if found.findings:
        raise OutdatedLedger(
            f"{database.where}: {found.findings[0]}",
            hint="put the newest copy of the ledger back; if there is no newer one: rootlet factory recover",
        )
    if found.without:
        raise OutdatedLedger(
            f"{found.without[0]} assigned identities from {database.where}, and its receipts are not in {directory}",
            hint=f"share the directory among all stations (--receipts), or copy its file there; if it is lost: "
            f"rootlet factory recover --without {found.without[0]}",
        )
    return found


def check_own(connection: sa.Connection, file: ReceiptFile | None) -> None:
    """Raise OutdatedLedger where the ledger, which is being written, does not hold the last receipt of ``file``."""
    last = file.last() if file else None
    if file is None or last is None or _covers(connection, file, last):
        return
    raise OutdatedLedger(
        f"the ledger does not hold entry {last.seq}, for which {file.station} has a receipt: "
        "it was restored from an older copy",
        hint="stop the line, and put the newest copy of the ledger back; if there is no newer one: rootlet factory recover",
    )


def lost(connection: sa.Connection, found: HighWater) -> list[tuple[ReceiptFile, Receipt]]:
    """The receipts that the ledger does not hold and has not dealt with yet, in the order in which they were entered."""
    until = _settled(connection).until
    missing: list[tuple[int, int, ReceiptFile, Receipt]] = []
    for file in [mark.file for mark in found.marks if not mark.known] + found.replaced:
        receipts = list(file.every())
        places = [place for place, one in enumerate(receipts) if [one.seq, one.hash] == until.get(file.name)]
        restores, before = 0, 0
        for one in receipts[places[-1] + 1 if places else 0 :]:
            restores += one.seq <= before  # after an older copy was restored, numbers come a second time
            before = one.seq
            if not chain.holds(connection, one.seq, one.hash):
                missing.append((restores, one.seq, file, one))
    return [(file, one) for _, _, file, one in sorted(missing, key=lambda each: each[:2])]


@dataclass
class _Settled:
    """What earlier recoveries dealt with: receipts up to one of a file, stations without any, ledgers that were replaced."""

    until: dict[str, list[Any]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)


def _settled(connection: sa.Connection) -> _Settled:
    settled = _Settled()
    entries = sa.select(ENTRIES.c.detail).where(ENTRIES.c.thing == "", ENTRIES.c.step == RECOVER).order_by(ENTRIES.c.seq)
    for row in connection.execute(entries):
        settled.until |= row.detail["until"]
        settled.without |= set(row.detail["without"])
        settled.replaced |= set(row.detail["replaced"])
    return settled


def _covers(connection: sa.Connection, file: ReceiptFile, last: Receipt) -> bool:
    return chain.holds(connection, last.seq, last.hash) or _settled(connection).until.get(file.name) == [last.seq, last.hash]
