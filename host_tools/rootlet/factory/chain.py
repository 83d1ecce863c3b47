"""The chain of the ledger's entries: each has the hash of the one before."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from rootlet.factory.schema import ENTRIES, HEAD

START = "0" * 64
"""What the first entry has for the hash of the one before."""

_CHAINED = ("seq", "at", "thing", "step", "phase", "state", "mac", "certificate_id", "station", "detail", "previous")


def entry_hash(entry: Mapping[str, Any]) -> str:
    """SHA-256, in hex, over the entry's fields and so over the hash of the entry before it."""
    fields = json.dumps([entry[name] for name in _CHAINED], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()


def lock_head(connection: sa.Connection) -> sa.Row[Any]:
    """The end of the chain, which nobody else can move before this transaction ends."""
    # FOR UPDATE on PostgreSQL. SQLite has no such clause and needs none: the transaction began with the write lock.
    return connection.execute(sa.select(HEAD).with_for_update()).one()


def append(connection: sa.Connection, entries: Sequence[dict[str, Any]]) -> None:
    """Put ``entries`` at the end of the chain."""
    head = lock_head(connection)
    seq, previous = head.seq, head.hash
    for entry in entries:
        seq += 1
        entry.update(seq=seq, previous=previous)
        entry["hash"] = previous = entry_hash(entry)
    connection.execute(sa.insert(ENTRIES), entries)
    connection.execute(sa.update(HEAD).values(seq=seq, hash=previous))


def ledger_id(connection: sa.Connection) -> str | None:
    """The hash of the first entry, which every copy of a ledger shares; None for an empty ledger."""
    return connection.scalar(sa.select(ENTRIES.c.hash).where(ENTRIES.c.seq == 1))


def holds(connection: sa.Connection, seq: int, digest: str) -> bool:
    """Whether entry ``seq`` has this hash, and so whether all entries up to it are the same."""
    return connection.scalar(sa.select(ENTRIES.c.hash).where(ENTRIES.c.seq == seq)) == digest
