"""The ledger: which board has which identity, and what was done to it, written before and after each step.

Entries form a chain: each has the hash of the one before. The ledger holds certificates and hashes, never a private key.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from rootlet.errors import BadInput, RootletError
from rootlet.factory import admission, chain, records
from rootlet.factory.admission import ConnectedBoard
from rootlet.factory.database import Database
from rootlet.factory.plan import BatchPlan, NewIdentity, RegistrationMode
from rootlet.factory.receipted import ReceiptedWriter
from rootlet.factory.receipts import ReceiptBook
from rootlet.factory.records import IdentityRecord, SealedBoard
from rootlet.factory.schema import BATCHES, BEFORE_PROOF, ENTRIES, IDENTITIES, STEPS, State, Step


class Ledger:
    """The ledger, as used by one ``station``, whose name is in every entry that it writes.

    ``receipts`` is the directory for the station's receipts; without it nobody notices when an older copy is restored.
    """

    def __init__(self, database: Database, *, station: str, receipts: Path | None = None) -> None:
        self._database = database
        self._station = station
        self._writer = ReceiptedWriter(database, ReceiptBook(receipts, station) if receipts else None)

    def open_batch(self, name: str, identities: Sequence[NewIdentity], plan: BatchPlan) -> None:
        """Add a batch, completely or not at all. Raises BadInput for a name that is already in the ledger."""
        if not identities:
            raise BadInput(f"batch {name} is empty", hint="give the batch at least one thing")
        columns = plan.columns()
        try:
            # Also into an older copy: what was lost can be recovered only when its batches are there.
            with self._writer.transaction(even_outdated=True) as connection:
                batch_id = connection.execute(
                    sa.insert(BATCHES).values(name=name, **columns).returning(BATCHES.c.id)
                ).scalar_one()
                connection.execute(sa.insert(IDENTITIES), [_fresh(batch_id, identity) for identity in identities])
                entries = [self._entry("", "batch", "done", detail={"batch": name, **columns})]
                entries += [self._opened(name, identity) for identity in identities]
                chain.append(connection, entries)
        except sa.exc.IntegrityError:
            raise BadInput(
                f"batch {name}, or one of its things, is already in the ledger", hint="choose new names"
            ) from None

    def assign(self, batch: str, board: ConnectedBoard) -> IdentityRecord | None:
        """Assign an identity of ``batch`` that no other board has to ``board``; None if none is left.

        A board whose identity is unfinished gets the same one again, and the previous worker can no longer write. Raises
        admission.AlreadyDone for a finished board, admission.Refused for one that must not have an identity of this batch.
        """
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            batch_id = connection.scalar(sa.select(BATCHES.c.id).where(BATCHES.c.name == batch))
            if batch_id is None:
                raise BadInput(f"there is no batch {batch}", hint="open the batch first: rootlet factory open")
            held = connection.execute(sa.select(IDENTITIES).where(IDENTITIES.c.mac == board.mac)).one_or_none()
            owner = records.owner_of(connection, board.carried) if board.carried else None
            begun = held is not None and records.was(connection, held.thing, Step.BURN)
            admission.check(board, batch, batch_id, held, owner, burn_begun=begun)
            if held is not None:
                records.update(connection, held.thing, claim=_new_claim(self._station))
                return records.record_of(connection, held.thing)
            free = connection.execute(
                sa.select(IDENTITIES)
                .where(IDENTITIES.c.batch_id == batch_id, IDENTITIES.c.state == State.OPEN)
                .order_by(IDENTITIES.c.id)
                .limit(1)
            ).one_or_none()
            if free is None:
                return None
            records.update(connection, free.thing, state=State.ASSIGNED, mac=board.mac, claim=_new_claim(self._station))
            chain.append(connection, [self._entry(free.thing, "assign", "done", state=State.ASSIGNED, mac=board.mac)])
            return records.record_of(connection, free.thing)

    def refuse(self, mac: str | None, cause: str) -> None:
        """Record that the board ``mac`` was refused, and why; None where it could not be read."""
        with self._writer.transaction() as connection:
            chain.append(connection, [self._entry("", "refuse", "failed", mac=mac, detail={"cause": cause})])

    def take_over(self, thing: str) -> IdentityRecord:
        """Claim an identity without its board. The previous worker can no longer write."""
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            records.update(connection, records.row_of(connection, thing).thing, claim=_new_claim(self._station))
            return records.record_of(connection, thing)

    def begin(self, record: IdentityRecord, step: Step, detail: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Record that ``step`` begins, with ``detail``. Raises RootletError if the identity's state does not allow it."""
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            row = records.claimed(connection, record)
            if row.state not in STEPS[step] or not _is_next(connection, row, step):
                raise RootletError(
                    f"the step {step} is not possible for {row.thing}, which is {row.state}",
                    hint="read its entries in the ledger",
                )
            records.update(connection, row.thing, in_progress=step)
            chain.append(connection, [self._entry(row.thing, step, "begin", **_where(row), detail=detail)])

    def sealed(self, mac: str) -> SealedBoard | None:
        """What was last written, encrypted, to the board ``mac``; None where nothing was."""
        with self._database.reading() as connection:
            return records.sealed(connection, mac)

    def finish(self, record: IdentityRecord, step: Step, *, certificate: x509.Certificate | None = None) -> IdentityRecord:
        """Record that ``step`` succeeded; ISSUE brings the ``certificate``. Raises RootletError if it was not begun."""
        if (certificate is not None) != (step is Step.ISSUE):
            raise ValueError("a certificate comes with the issue step, and with no other")
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            row = records.begun(connection, record, step)
            changes: dict[str, Any] = {"state": STEPS[step][State(row.state)], "in_progress": "", "trouble": None}
            if certificate is not None:
                changes["certificate_id"] = certificate.fingerprint(hashes.SHA256()).hex()
                changes["certificate_pem"] = certificate.public_bytes(serialization.Encoding.PEM).decode()
            records.update(connection, row.thing, **changes)
            certificate_id = changes.get("certificate_id", row.certificate_id)
            after = {"state": changes["state"], "mac": row.mac, "certificate_id": certificate_id}
            chain.append(connection, [self._entry(row.thing, step, "done", **after)])
            return records.record_of(connection, row.thing)

    def fail(self, record: IdentityRecord, step: Step, cause: str) -> None:
        """Record that ``step`` failed. The identity keeps its state and its board, for another attempt."""
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            row = records.begun(connection, record, step)
            records.update(connection, row.thing, in_progress="", trouble=cause)
            detail = {"cause": cause}
            chain.append(connection, [self._entry(row.thing, step, "failed", **_where(row), detail=detail)])

    def restart(self, thing: str, *, release: bool = False) -> IdentityRecord:
        """Restart an unproved identity; with ``release`` on any board, instead of only on its own.

        Raises RootletError where AWS may already trust its certificate, or could trust the one on the old board.
        """
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            row = records.row_of(connection, thing)
            if row.state not in BEFORE_PROOF:
                raise RootletError(
                    f"{thing} is {row.state}: it cannot be restarted",
                    hint="if its board is lost, run rootlet factory scrap",
                )
            if (
                release
                and records.plan_of(connection, row).registration is RegistrationMode.JITP
                and records.was(connection, thing, Step.BURN)
            ):
                raise RootletError(
                    f"the old board of {thing} may have a certificate that AWS would accept on its first connection (JITP)",
                    hint=f"run rootlet factory scrap {thing}, which revokes the certificate first",
                )
            state, mac = (State.OPEN, None) if release else (State.ASSIGNED, row.mac)
            fresh = {"certificate_id": None, "certificate_pem": None, "trouble": None, "claim": None}
            records.update(connection, thing, state=state, mac=mac, in_progress="", **fresh)
            chain.append(
                connection, [self._entry(thing, "retry", "done", state=state, mac=mac, detail={"old_mac": row.mac})]
            )
            return records.record_of(connection, thing)

    def scrap(self, thing: str, reason: str) -> None:
        """Scrap an identity permanently; its board may get another. Raises RootletError where AWS may trust its certificate.

        A certificate that AWS may already trust must be revoked there first, which the ledger cannot do.
        """
        with self._writer.transaction() as connection:
            chain.lock_head(connection)
            row = records.row_of(connection, thing)
            if row.state == State.SCRAPPED:
                return
            if records.needs_revoking(connection, row):
                raise RootletError(f"{thing} may be active in AWS", hint="revoke its certificate in AWS first")
            records.update(connection, thing, state=State.SCRAPPED, in_progress="", mac=None, trouble=None, claim=None)
            detail = {"reason": reason, "mac": row.mac}
            entry = self._entry(
                thing, "scrap", "done", state=State.SCRAPPED, certificate_id=row.certificate_id, detail=detail
            )
            chain.append(connection, [entry])

    @contextlib.contextmanager
    def recovering(self) -> Iterator[tuple[sa.Connection, Callable[..., dict[str, Any]]]]:
        """A transaction that enters what an older copy of the ledger does not hold, and what makes an entry."""
        with self._writer.transaction(even_outdated=True) as connection:
            chain.lock_head(connection)
            yield connection, self._entry

    def needs_revoking(self, thing: str) -> bool:
        """Whether AWS may trust a certificate of ``thing`` now or later: then REVOKE comes before ``scrap``."""
        with self._database.reading() as connection:
            return records.needs_revoking(connection, records.row_of(connection, thing))

    def certificates(self, thing: str) -> list[str]:
        """The IDs of all certificates that were issued for ``thing``, the latest last."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(ENTRIES.c.certificate_id)
                .where(ENTRIES.c.thing == thing, ENTRIES.c.step == Step.ISSUE, ENTRIES.c.phase == "done")
                .order_by(ENTRIES.c.seq)
            )
            return [str(row.certificate_id) for row in rows]

    def plan(self, batch: str) -> BatchPlan:
        """The plan of a batch. Raises BadInput for an unknown batch, or one of an old version without a plan."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(BATCHES).where(BATCHES.c.name == batch)).mappings().one_or_none()
        if row is None:
            raise BadInput(f"there is no batch {batch}", hint="open the batch first: rootlet factory open")
        if not row["board"]:
            raise BadInput(f"batch {batch} was opened without a board type", hint="open a new batch")
        return BatchPlan.from_columns(dict(row))

    def record(self, thing: str) -> IdentityRecord:
        """The record of ``thing``. Raises BadInput for an unknown thing."""
        with self._database.reading() as connection:
            return records.record_of(connection, thing)

    def status(self, batch: str) -> dict[State, int]:
        """How many identities of ``batch`` are in each state; states with none are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(IDENTITIES.c.state, sa.func.count())
                .join(BATCHES, BATCHES.c.id == IDENTITIES.c.batch_id)
                .where(BATCHES.c.name == batch)
                .group_by(IDENTITIES.c.state)
            )
            return {State(state): count for state, count in rows}

    def _opened(self, batch: str, identity: NewIdentity) -> dict[str, Any]:
        what = {"batch": batch, "attributes": dict(identity.attributes), "serial": identity.serial}
        return self._entry(identity.thing, "open", "done", state=State.OPEN, detail=what)

    def _entry(
        self,
        thing: str,
        step: str,
        phase: str,
        *,
        state: str = "",
        mac: str | None = None,
        certificate_id: str | None = None,
        detail: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        return {
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "thing": thing,
            "step": str(step),
            "phase": phase,
            "state": str(state),
            "mac": mac,
            "certificate_id": certificate_id,
            "station": self._station,
            "detail": dict(detail),
        }


def _is_next(connection: sa.Connection, row: sa.Row[Any], step: Step) -> bool:
    """Whether a batch whose eFuses are burned has them burned before the proof, and no other batch has."""
    if row.state != State.BURNED or step not in (Step.PROTECT, Step.PROVE):
        return True
    return (step is Step.PROTECT) == bool(records.plan_of(connection, row).protect)


def _where(row: sa.Row[Any]) -> dict[str, Any]:
    """The columns of an identity that each entry about it repeats."""
    return {"state": row.state, "mac": row.mac, "certificate_id": row.certificate_id}


def _fresh(batch_id: int, identity: NewIdentity) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "thing": identity.thing,
        "attributes": dict(identity.attributes),
        "serial": identity.serial,
        "state": State.OPEN,
        "in_progress": "",
    }


def _new_claim(station: str) -> str:
    return f"{station[:100]}/{secrets.token_hex(8)}"
