"""The ledger: who has which identity, and what was done to it, written before and after each step.

Entries form a chain: each carries the hash of the one before. It holds certificates and hashes, never a private key.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from rootlet.errors import BadInput, RootletError
from rootlet.factory.database import Database
from rootlet.factory.schema import BATCHES, ENTRIES, HEAD, IDENTITIES, STEPS, State, Step

_CHAINED = ("seq", "at", "thing", "step", "phase", "state", "mac", "certificate_id", "station", "detail", "previous")


@dataclass(frozen=True)
class NewIdentity:
    """A line of a batch: the thing's name and its attributes."""

    thing: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """An identity as the ledger knows it. ``in_progress`` is the step that was begun and not finished, or ''."""

    thing: str
    attributes: Mapping[str, str]
    state: State
    in_progress: str
    mac: str | None
    certificate_id: str | None
    certificate_pem: str | None


def entry_hash(entry: Mapping[str, Any]) -> str:
    """SHA-256, in hex, over the entry's fields and so over the hash of the entry before it."""
    fields = json.dumps([entry[name] for name in _CHAINED], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()


class Ledger:
    """The books of a line, for one ``station`` (a name that goes into every entry it makes)."""

    def __init__(self, database: Database, *, station: str) -> None:
        self._database = database
        self._station = station

    def open_batch(self, name: str, identities: Sequence[NewIdentity]) -> None:
        """Enter a whole batch, or nothing. Raises BadInput for a name that is already in the ledger."""
        if not identities:
            raise BadInput(f"batch {name} is empty", way_out="give it at least one thing")
        try:
            with self._database.writing() as connection:
                batch_id = connection.execute(sa.insert(BATCHES).values(name=name).returning(BATCHES.c.id)).scalar_one()
                connection.execute(sa.insert(IDENTITIES), [_fresh(batch_id, identity) for identity in identities])
                detail = [{"batch": name, "attributes": dict(identity.attributes)} for identity in identities]
                entries = [
                    self._entry(identity.thing, "open", "done", State.OPEN, None, None, what)
                    for identity, what in zip(identities, detail, strict=True)
                ]
                _append(connection, entries)
        except sa.exc.IntegrityError:
            raise BadInput(
                f"batch {name}, or one of its things, is already in the ledger", way_out="choose names not used before"
            ) from None

    def assign(self, batch: str, mac: str) -> Record | None:
        """Give the board ``mac`` an identity of ``batch`` that no other board has; None if none is left.

        A board that already has an unfinished identity of this batch gets the same one again.
        Raises RootletError for a board that is done, or belongs to another batch.
        """
        with self._database.writing() as connection:
            _lock_head(connection)
            batch_id = connection.scalar(sa.select(BATCHES.c.id).where(BATCHES.c.name == batch))
            if batch_id is None:
                raise BadInput(f"there is no batch {batch}", way_out="open it first")
            held = connection.execute(sa.select(IDENTITIES).where(IDENTITIES.c.mac == mac)).one_or_none()
            if held is not None:
                _check_same_board(held, batch_id, batch)
                return _record(held)
            free = connection.execute(
                sa.select(IDENTITIES)
                .where(IDENTITIES.c.batch_id == batch_id, IDENTITIES.c.state == State.OPEN)
                .order_by(IDENTITIES.c.id)
                .limit(1)
            ).one_or_none()
            if free is None:
                return None
            _update(connection, free.thing, state=State.ASSIGNED, mac=mac)
            _append(connection, [self._entry(free.thing, "assign", "done", State.ASSIGNED, mac, None, {})])
            return _record(_row(connection, free.thing))

    def begin(self, thing: str, step: Step, *, mac: str) -> None:
        """Write that ``step`` is about to act on the board ``mac``. Raises RootletError if it may not, from here."""
        with self._database.writing() as connection:
            _lock_head(connection)
            row = _row_of_board(connection, thing, mac)
            if row.state not in STEPS[step]:
                raise RootletError(
                    f"{thing} is {row.state}: it cannot {step} now", way_out="look at its entries in the ledger"
                )
            _update(connection, thing, in_progress=step)
            _append(connection, [self._entry(thing, step, "begin", row.state, row.mac, row.certificate_id, {})])

    def finish(self, thing: str, step: Step, *, mac: str, certificate: x509.Certificate | None = None) -> None:
        """Write that ``step`` has acted; ISSUE brings the ``certificate``. Raises RootletError if it was not begun."""
        if (certificate is not None) != (step is Step.ISSUE):
            raise ValueError("a certificate comes with the issue step, and with no other")
        with self._database.writing() as connection:
            _lock_head(connection)
            row = _begun(connection, thing, step, mac)
            changes: dict[str, Any] = {"state": STEPS[step][State(row.state)], "in_progress": ""}
            if certificate is not None:
                changes["certificate_id"] = certificate.fingerprint(hashes.SHA256()).hex()
                changes["certificate_pem"] = certificate.public_bytes(serialization.Encoding.PEM).decode()
            _update(connection, thing, **changes)
            certificate_id = changes.get("certificate_id", row.certificate_id)
            _append(connection, [self._entry(thing, step, "done", changes["state"], mac, certificate_id, {})])

    def fail(self, thing: str, step: Step, cause: str, *, mac: str) -> None:
        """Write that ``step`` failed; the identity stays where it was, with its board, to be tried again."""
        with self._database.writing() as connection:
            _lock_head(connection)
            row = _begun(connection, thing, step, mac)
            _update(connection, thing, in_progress="")
            _append(connection, [self._entry(thing, step, "failed", row.state, mac, row.certificate_id, {"cause": cause})])

    def scrap(self, thing: str, reason: str) -> None:
        """Take an identity out for good; its board may have another. Raises RootletError for one in the cloud.

        A certificate that AWS may already trust must be revoked there first, which the ledger cannot do.
        """
        with self._database.writing() as connection:
            _lock_head(connection)
            row = _row(connection, thing)
            # Begun is enough: an answer that was lost, or a failure halfway, may have left an active certificate.
            begun = sa.select(ENTRIES.c.seq).where(ENTRIES.c.thing == thing, ENTRIES.c.step == Step.REGISTER).limit(1)
            if connection.execute(begun).one_or_none() is not None:
                raise RootletError(f"{thing} may be active in AWS", way_out="revoke its certificate there first")
            if row.state == State.SCRAPPED:
                return
            _update(connection, thing, state=State.SCRAPPED, in_progress="", mac=None)
            detail = {"reason": reason, "mac": row.mac}
            _append(connection, [self._entry(thing, "scrap", "done", State.SCRAPPED, None, row.certificate_id, detail)])

    def record(self, thing: str) -> Record:
        """What the ledger knows of ``thing``. Raises BadInput if it does not know it."""
        with self._database.reading() as connection:
            return _record(_row(connection, thing))

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

    def _entry(
        self,
        thing: str,
        step: str,
        phase: str,
        state: str,
        mac: str | None,
        certificate_id: str | None,
        detail: Mapping[str, Any],
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


def _fresh(batch_id: int, identity: NewIdentity) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "thing": identity.thing,
        "attributes": dict(identity.attributes),
        "state": State.OPEN,
        "in_progress": "",
    }


def _lock_head(connection: sa.Connection) -> sa.Row[Any]:
    # FOR UPDATE on PostgreSQL; SQLite has no such clause and needs none: the transaction began with its write lock.
    return connection.execute(sa.select(HEAD).with_for_update()).one()


def _append(connection: sa.Connection, entries: Sequence[dict[str, Any]]) -> None:
    head = _lock_head(connection)
    seq, previous = head.seq, head.hash
    for entry in entries:
        seq += 1
        entry.update(seq=seq, previous=previous)
        entry["hash"] = previous = entry_hash(entry)
    connection.execute(sa.insert(ENTRIES), entries)
    connection.execute(sa.update(HEAD).values(seq=seq, hash=previous))


def _update(connection: sa.Connection, thing: str, **changes: Any) -> None:
    connection.execute(sa.update(IDENTITIES).where(IDENTITIES.c.thing == thing).values(**changes))


def _row(connection: sa.Connection, thing: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(IDENTITIES).where(IDENTITIES.c.thing == thing)).one_or_none()
    if row is None:
        raise BadInput(f"the ledger does not know {thing}", way_out="look for the name in the batch")
    return row


def _row_of_board(connection: sa.Connection, thing: str, mac: str) -> sa.Row[Any]:
    row = _row(connection, thing)
    if row.mac != mac:
        raise RootletError(f"{thing} does not belong to the board {mac}", way_out="assign that board an identity")
    return row


def _begun(connection: sa.Connection, thing: str, step: Step, mac: str) -> sa.Row[Any]:
    row = _row_of_board(connection, thing, mac)
    if row.in_progress != step:
        raise RootletError(f"{thing}: {step} was not begun", way_out="run the station again")
    return row


def _check_same_board(held: sa.Row[Any], batch_id: int, batch: str) -> None:
    if held.batch_id != batch_id:
        raise RootletError(f"the board {held.mac} is {held.thing} of another batch", way_out=f"it is not for batch {batch}")
    if held.state in {State.DONE, State.WAITING}:
        raise RootletError(f"the board {held.mac} is done: it is {held.thing}", way_out="take the next board")


def _record(row: sa.Row[Any]) -> Record:
    return Record(
        thing=row.thing,
        attributes=row.attributes,
        state=State(row.state),
        in_progress=row.in_progress,
        mac=row.mac,
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
    )
