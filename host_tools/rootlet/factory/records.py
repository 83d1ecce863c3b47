"""Identities in the ledger's tables: reading one inside a transaction, and what holds before one is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from cryptography import x509

from rootlet.errors import BadInput, RootletError
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.schema import BATCHES, ENTRIES, IDENTITIES, State, Step


@dataclass(frozen=True)
class IdentityRecord:
    """An identity in the ledger. ``in_progress`` is the step that was begun and not finished, or ''.

    ``trouble`` is the reason why the last step failed. The holder of ``claim`` may write, until another one takes over.
    """

    thing: str
    batch: str
    serial: str | None
    attributes: Mapping[str, str]
    state: State
    in_progress: str
    mac: str | None
    certificate_id: str | None
    certificate_pem: str | None
    trouble: str | None
    claim: str | None

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate that was issued last. Raises RootletError where there is none."""
        if self.certificate_pem is None:
            raise RootletError(f"{self.thing} has no certificate", hint="run the board through the station")
        return x509.load_pem_x509_certificate(self.certificate_pem.encode())


@dataclass(frozen=True)
class SealedBoard:
    """A board whose flash was written encrypted. ``md5`` is what its chip then says of the ``size`` bytes of credentials."""

    thing: str
    certificate_id: str | None
    offset: int
    size: int
    md5: str


def sealed(connection: sa.Connection, mac: str) -> SealedBoard | None:
    """What was last written, encrypted, to the board ``mac``; a write that was begun counts. None where nothing was."""
    row = connection.execute(
        sa.select(ENTRIES.c.thing, ENTRIES.c.certificate_id, ENTRIES.c.detail)
        .join(IDENTITIES, IDENTITIES.c.thing == ENTRIES.c.thing)
        .where(IDENTITIES.c.mac == mac, ENTRIES.c.step == Step.BURN, ENTRIES.c.phase == "begin")
        .order_by(ENTRIES.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if row is None or "sealed" not in row.detail:
        return None
    return SealedBoard(row.thing, row.certificate_id, **row.detail["sealed"])


def update(connection: sa.Connection, thing: str, **changes: Any) -> None:
    connection.execute(sa.update(IDENTITIES).where(IDENTITIES.c.thing == thing).values(**changes))


def row_of(connection: sa.Connection, thing: str) -> sa.Row[Any]:
    row = connection.execute(sa.select(IDENTITIES).where(IDENTITIES.c.thing == thing)).one_or_none()
    if row is None:
        raise BadInput(f"the ledger has no thing {thing}", hint="look for the name in the batch")
    return row


def claimed(connection: sa.Connection, record: IdentityRecord) -> sa.Row[Any]:
    row = row_of(connection, record.thing)
    if row.mac != record.mac or row.claim != record.claim:
        raise RootletError(
            f"{record.thing} was taken over by another port or station",
            hint="look for a second board with the same MAC address",
        )
    return row


def begun(connection: sa.Connection, record: IdentityRecord, step: Step) -> sa.Row[Any]:
    row = claimed(connection, record)
    if row.in_progress != step:
        raise RootletError(f"{record.thing}: {step} was not begun", hint="run the station again")
    return row


def was(connection: sa.Connection, thing: str, step: Step) -> bool:
    # A begun step counts: it may have had an effect, although its answer was lost or it failed halfway.
    begun = sa.select(ENTRIES.c.seq).where(ENTRIES.c.thing == thing, ENTRIES.c.step == step).limit(1)
    return connection.execute(begun).one_or_none() is not None


def needs_revoking(connection: sa.Connection, row: sa.Row[Any]) -> bool:
    if row.state in (State.REVOKED, State.SCRAPPED):
        return False
    if was(connection, row.thing, Step.REGISTER):
        return True
    return plan_of(connection, row).registration is RegistrationMode.JITP and was(connection, row.thing, Step.BURN)


def plan_of(connection: sa.Connection, identity: sa.Row[Any]) -> BatchPlan:
    row = connection.execute(sa.select(BATCHES).where(BATCHES.c.id == identity.batch_id)).mappings().one()
    return BatchPlan.from_columns(dict(row))


def owner_of(connection: sa.Connection, certificate_id: str) -> sa.Row[Any] | None:
    """The identity that this certificate is, or once was, issued for."""
    thing = connection.scalar(
        sa.select(ENTRIES.c.thing).where(ENTRIES.c.certificate_id == certificate_id, ENTRIES.c.step == Step.ISSUE).limit(1)
    )
    return row_of(connection, thing) if thing else None


def record_of(connection: sa.Connection, thing: str) -> IdentityRecord:
    row = connection.execute(
        sa.select(IDENTITIES, BATCHES.c.name.label("batch"))
        .join(BATCHES, BATCHES.c.id == IDENTITIES.c.batch_id)
        .where(IDENTITIES.c.thing == thing)
    ).one_or_none()
    if row is None:
        raise BadInput(f"the ledger has no thing {thing}", hint="look for the name in the batch")
    return IdentityRecord(
        thing=row.thing,
        batch=row.batch,
        serial=row.serial,
        attributes=row.attributes,
        state=State(row.state),
        in_progress=row.in_progress,
        mac=row.mac,
        certificate_id=row.certificate_id,
        certificate_pem=row.certificate_pem,
        trouble=row.trouble,
        claim=row.claim,
    )
