"""Transactions that leave receipts: what a station enters is written down outside before anything acts on it."""

import contextlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from rootlet.factory import chain, high_water
from rootlet.factory.database import Database, LedgerUnavailable
from rootlet.factory.receipts import Receipt, ReceiptBook
from rootlet.factory.schema import ENTRIES, IDENTITIES, Step

_OUTSIDE = (Step.BURN, Step.PROTECT, Step.REGISTER, Step.REVOKE)
"""Steps that may have had an effect outside as soon as they were begun."""


class ReceiptedWriter:
    """Writes to a ledger, with receipts in ``book``; with None for it, without."""

    def __init__(self, database: Database, book: ReceiptBook | None) -> None:
        self._database = database
        self._book = book

    @contextlib.contextmanager
    def transaction(self, *, even_outdated: bool = False) -> Iterator[sa.Connection]:
        """A transaction, and afterwards the receipts of what it entered.

        Raises high_water.OutdatedLedger, with nothing entered, where the ledger does not hold the station's last receipt;
        ``even_outdated`` goes on there, without a receipt. Raises LedgerUnavailable where no receipt can be written.
        """
        if self._book is None:
            with self._database.writing() as connection:
                yield connection
            return
        with self._book.locked():
            with self._database.writing() as connection:
                before = chain.lock_head(connection).seq
                outdated = self._outdated(connection)
                if outdated and not even_outdated:
                    raise outdated
                yield connection
                ledger = chain.ledger_id(connection)
                entered = [] if outdated else _receipts(connection, before)
            if ledger is not None and entered:
                self._leave(self._book, ledger, entered)

    def _outdated(self, connection: sa.Connection) -> high_water.OutdatedLedger | None:
        ledger = chain.ledger_id(connection)
        try:
            high_water.check_own(connection, self._book.file(ledger) if self._book and ledger else None)
        except high_water.OutdatedLedger as outdated:
            return outdated
        return None

    def _leave(self, book: ReceiptBook, ledger: str, entered: Sequence[Receipt]) -> None:
        try:
            book.append(ledger, self._database.place, entered)
        except OSError as error:
            raise LedgerUnavailable(
                f"no receipt can be written to {book.directory}: {error.strerror}",
                hint="make the directory writable, then go on: what was entered is entered",
            ) from None


def _receipts(connection: sa.Connection, after: int) -> list[Receipt]:
    """Receipts of the entries ``after`` one that changed an identity, or may have had an effect outside."""
    done = sa.and_(ENTRIES.c.phase == "done", ENTRIES.c.step != "open")
    begun = sa.and_(ENTRIES.c.phase == "begin", ENTRIES.c.step.in_(_OUTSIDE))
    issued = sa.and_(IDENTITIES.c.thing == ENTRIES.c.thing, ENTRIES.c.step == Step.ISSUE)
    columns = [ENTRIES.c[name] for name in Receipt.__dataclass_fields__ if name != "certificate_pem"]
    rows = connection.execute(
        sa.select(*columns, IDENTITIES.c.certificate_pem)
        .join(IDENTITIES, issued, isouter=True)
        .where(ENTRIES.c.seq > after, sa.or_(done, begun))
        .order_by(ENTRIES.c.seq)
    )
    return [Receipt(**row) for row in rows.mappings()]
