"""Enters again what a ledger lost when an older copy of it was restored, from the receipts of its stations.

So no name is handed out a second time, and no board is lost: the ledger afterwards says of each identity what its receipts
say. Nothing is removed; the entries made since the restore stay.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rootlet.errors import BadInput
from rootlet.factory import chain, records
from rootlet.factory.high_water import RECOVER, HighWater, lost
from rootlet.factory.ledger import Ledger
from rootlet.factory.receipts import Receipt
from rootlet.factory.schema import IDENTITIES


@dataclass
class Recovered:
    """The result. ``things`` are the names that the ledger had forgotten; ``conflicts`` says what became of two boards."""

    things: list[str] = field(default_factory=list)
    entries: int = 0
    conflicts: list[str] = field(default_factory=list)


def recover(ledger: Ledger, found: HighWater, *, without: Collection[str] = (), reason: str = "") -> Recovered:
    """Enter what the receipts of ``found`` hold and the ledger does not, and that the stations ``without`` have none.

    Raises BadInput, with nothing entered, for a station that has receipts or assigned nothing, and where the batch of a
    lost identity is not in the ledger.
    """
    if strange := sorted(set(without) - set(found.without)):
        raise BadInput(f"{strange[0]} is not a station without receipts", hint="see what is missing: rootlet factory run")
    done = Recovered()
    with ledger.recovering() as (connection, entry):
        missing = [one for _, one in lost(connection, found)]
        _check_batches(connection, missing)
        for receipt in missing:
            if receipt.thing:
                _replay(connection, receipt, entry, done)
        detail = {
            "until": {mark.file.name: [mark.last.seq, mark.last.hash] for mark in found.marks if not mark.known},
            "without": sorted(without),
            "replaced": sorted({file.ledger for file in found.replaced}),
            "reason": reason,
        }
        chain.append(connection, [entry("", RECOVER, "done", detail=detail)])
    return done


def _check_batches(connection: sa.Connection, missing: Sequence[Receipt]) -> None:
    things = {receipt.thing for receipt in missing if receipt.thing}
    known = {row.thing for row in connection.execute(sa.select(IDENTITIES.c.thing))} if things else set()
    if unknown := sorted(things - known):
        raise BadInput(
            f"the ledger has no {unknown[0]}: its batch was opened after this copy was made",
            hint="open that batch again, from its file, then repeat the command",
        )


def _replay(connection: sa.Connection, receipt: Receipt, entry: Any, done: Recovered) -> None:
    """Enter one lost entry; where its board or certificate is another thing's by now, enter that."""
    row = records.row_of(connection, receipt.thing)
    origin = dict(receipt.detail) | {"lost_entry": receipt.seq, "lost_at": receipt.at}
    if receipt.thing not in done.things:
        done.things.append(receipt.thing)
    done.entries += 1
    if cause := _conflict(connection, row, receipt):
        if cause not in done.conflicts:
            done.conflicts.append(cause)
        records.update(connection, receipt.thing, in_progress="", trouble=cause)
        where = {"state": row.state, "mac": row.mac, "certificate_id": row.certificate_id}
        chain.append(connection, [entry(receipt.thing, receipt.step, "failed", **where, detail={"cause": cause} | origin)])
        return
    begun = receipt.phase == "begin"
    changes: dict[str, Any] = {"in_progress": receipt.step if begun else "", "claim": None}
    where = {"state": receipt.state, "mac": receipt.mac, "certificate_id": receipt.certificate_id}
    if not begun:
        changes["trouble"] = None
    if receipt.certificate_pem is not None or receipt.certificate_id is None:
        changes["certificate_pem"] = receipt.certificate_pem
    records.update(connection, receipt.thing, **where, **changes)
    chain.append(connection, [entry(receipt.thing, receipt.step, receipt.phase, **where, detail=origin)])


def _conflict(connection: sa.Connection, row: sa.Row[Any], receipt: Receipt) -> str | None:
    """What stands against a lost entry in the ledger as it was used since."""
    if row.mac is not None and receipt.mac is not None and row.mac != receipt.mac:
        return f"{receipt.thing} was given to two boards: {receipt.mac}, and later {row.mac}"
    if receipt.mac is not None:
        other = connection.scalar(
            sa.select(IDENTITIES.c.thing).where(IDENTITIES.c.mac == receipt.mac, IDENTITIES.c.thing != receipt.thing)
        )
        if other is not None:
            return f"the board {receipt.mac} was given two identities: {receipt.thing}, and later {other}"
    return None
