"""Queries of the ledger: batches, identities by state or word, the history of one board. Nothing here writes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rootlet.factory.database import Database
from rootlet.factory.schema import BATCHES, ENTRIES, IDENTITIES, State, Step

_AT_ONCE = 500


@dataclass(frozen=True)
class IdentityRow:
    """An identity in a list or an export."""

    thing: str
    serial: str | None
    batch: str
    customer: str
    state: State
    in_progress: str
    mac: str | None
    certificate_id: str | None
    trouble: str | None
    attributes: dict[str, str]
    certificate_pem: str | None


@dataclass(frozen=True)
class BatchView:
    """A batch with the number of identities in each state; ``troubled`` counts those whose last step failed."""

    name: str
    board: str
    customer: str
    registration: str
    counts: dict[State, int]
    troubled: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def batches(database: Database) -> list[BatchView]:
    """Every batch, the newest first."""
    troubled = sa.func.count(IDENTITIES.c.trouble)
    with database.reading() as connection:
        rows = connection.execute(
            sa.select(BATCHES, IDENTITIES.c.state, sa.func.count().label("number"), troubled.label("troubled"))
            .join(IDENTITIES, IDENTITIES.c.batch_id == BATCHES.c.id)
            .group_by(BATCHES.c.id, IDENTITIES.c.state)
            .order_by(BATCHES.c.id.desc())
        ).all()
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return [
        BatchView(
            name=name,
            board=group[0].board,
            customer=group[0].customer,
            registration=group[0].registration,
            counts={State(row.state): row.number for row in group},
            troubled=sum(row.troubled for row in group),
        )
        for name, group in found.items()
    ]


def lines(
    database: Database,
    batch: str,
    *,
    states: Collection[State] = (),
    troubled: bool = False,
    begun: bool = False,
    word: str = "",
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[IdentityRow]:
    """Identities of ``batch``, in order. ``begun`` selects those with an unfinished step.

    ``word`` is part of a name, serial number, MAC address or certificate id.
    """
    query = (
        sa.select(IDENTITIES, BATCHES.c.name.label("batch"), BATCHES.c.customer)
        .join(BATCHES)
        .where(BATCHES.c.name == batch)
        .order_by(IDENTITIES.c.id)
    )
    if states:
        query = query.where(IDENTITIES.c.state.in_(sorted(states)))
    if troubled:
        query = query.where(IDENTITIES.c.trouble.is_not(None))
    if begun:
        query = query.where(IDENTITIES.c.in_progress != "")
    if word:
        columns = (IDENTITIES.c.thing, IDENTITIES.c.serial, IDENTITIES.c.mac, IDENTITIES.c.certificate_id)
        query = query.where(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    if limit is not None:
        query = query.limit(limit).offset(offset)
    with database.reading() as connection:
        for row in connection.execution_options(yield_per=_AT_ONCE).execute(query).mappings():
            values = {name: row[name] for name in IdentityRow.__dataclass_fields__}
            yield IdentityRow(**values | {"state": State(row["state"])})


def known(database: Database, things: Sequence[str]) -> set[str]:
    """Those of ``things`` that are in the ledger, whatever their batch."""
    found: set[str] = set()
    with database.reading() as connection:
        for at in range(0, len(things), _AT_ONCE):
            part = things[at : at + _AT_ONCE]
            rows = connection.execute(sa.select(IDENTITIES.c.thing).where(IDENTITIES.c.thing.in_(part)))
            found.update(row.thing for row in rows)
    return found


def past(database: Database, thing: str) -> list[dict[str, Any]]:
    """The entries of ``thing``, the first one first."""
    with database.reading() as connection:
        rows = connection.execute(sa.select(ENTRIES).where(ENTRIES.c.thing == thing).order_by(ENTRIES.c.seq)).mappings()
        return [dict(row) for row in rows]


def by_mac(database: Database, mac: str) -> IdentityRow | None:
    """The identity that the board ``mac`` has, if any."""
    return _one(database, IDENTITIES.c.mac == mac)


def by_certificate(database: Database, certificate_id: str) -> IdentityRow | None:
    """The identity that a certificate is, or once was, issued for, if any."""
    issued = sa.select(ENTRIES.c.thing).where(ENTRIES.c.certificate_id == certificate_id, ENTRIES.c.step == "issue").limit(1)
    return _one(database, IDENTITIES.c.thing == issued.scalar_subquery())


def superseded(database: Database, batch: str) -> list[tuple[str, str]]:
    """Thing and ID of every replaced certificate of ``batch``, which no board should have."""
    query = (
        sa.select(ENTRIES.c.thing, ENTRIES.c.certificate_id)
        .join(IDENTITIES, IDENTITIES.c.thing == ENTRIES.c.thing)
        .join(BATCHES, BATCHES.c.id == IDENTITIES.c.batch_id)
        .where(BATCHES.c.name == batch, ENTRIES.c.step == Step.ISSUE, ENTRIES.c.phase == "done")
        .where(sa.func.coalesce(IDENTITIES.c.certificate_id, "") != ENTRIES.c.certificate_id)
        .order_by(ENTRIES.c.seq)
    )
    with database.reading() as connection:
        return [(row.thing, row.certificate_id) for row in connection.execute(query)]


def last_entry_at(database: Database) -> str | None:
    """The time of the last entry (ISO 8601, UTC); None in an empty ledger."""
    with database.reading() as connection:
        return connection.scalar(sa.select(ENTRIES.c.at).order_by(ENTRIES.c.seq.desc()).limit(1))


def _one(database: Database, condition: sa.ColumnElement[bool]) -> IdentityRow | None:
    query = sa.select(IDENTITIES, BATCHES.c.name.label("batch"), BATCHES.c.customer).join(BATCHES).where(condition)
    with database.reading() as connection:
        row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return IdentityRow(**{name: row[name] for name in IdentityRow.__dataclass_fields__} | {"state": State(row["state"])})
