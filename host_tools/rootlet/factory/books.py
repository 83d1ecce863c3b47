"""Verifies the ledger: its hash chain is complete, and its tables match its entries.

The chain has no secret in it: whoever can write the database can also write a new chain. Only a comparison with a head that
was kept elsewhere finds this (``LedgerReport.head``, to be printed with the day's papers; ``kept`` here).
"""

import hashlib
import ssl
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rootlet.factory.chain import START, entry_hash
from rootlet.factory.database import Database
from rootlet.factory.schema import BATCHES, ENTRIES, HEAD, IDENTITIES

_ROWS_AT_ONCE = 5000
_OF_BATCH = ("board", "customer", "ca_sha256", "registration", "details")


@dataclass(frozen=True)
class Head:
    """The end of the chain: the number of entries, and the hash of the last one (hex)."""

    seq: int
    hash: str


@dataclass
class LedgerReport:
    """The result of a verification; without findings the ledger is in order."""

    head: Head
    entries: int = 0
    identities: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass
class _IdentityStory:
    """The state of one identity, by its entries."""

    batch: Any
    attributes: Any
    serial: Any = None
    state: str = ""
    in_progress: str = ""
    mac: str | None = None
    certificate_id: str | None = None
    trouble: str | None = None


@dataclass
class _Story:
    """The state of all things and batches, by their entries."""

    things: dict[str, _IdentityStory] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)


def verify_books(database: Database, *, kept: Head | None = None) -> LedgerReport:
    """The findings about the whole ledger, read in one transaction."""
    with database.reading() as connection:
        head = connection.execute(sa.select(HEAD)).one_or_none()
        report = LedgerReport(head=Head(head.seq, head.hash) if head else Head(0, ""))
        story = _verify_chain(connection, report, kept)
        _verify_batches(connection, report, story)
        _verify_identities(connection, report, story.things)
    return report


def _verify_chain(connection: sa.Connection, report: LedgerReport, kept: Head | None) -> _Story:
    story = _Story()
    seq, previous, found_kept = 0, START, kept is None or kept == Head(0, START)
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(sa.select(ENTRIES).order_by(ENTRIES.c.seq))
    for row in rows.mappings():
        if row["seq"] != seq + 1:
            report.findings.append(f"entry {seq + 1} is missing (the next one is {row['seq']})")
        elif row["previous"] != previous:
            report.findings.append(f"entry {row['seq']} does not follow the entry before it")
        if entry_hash(dict(row)) != row["hash"]:
            report.findings.append(f"entry {row['seq']} was altered")
        seq, previous = row["seq"], row["hash"]
        found_kept = found_kept or Head(seq, previous) == kept
        report.entries += 1
        _add(story, row)
    if Head(seq, previous) != report.head:
        report.findings.append(
            f"the chain ends at entry {seq}, and its head is entry {report.head.seq}: the last entries were removed"
        )
    if not found_kept:
        report.findings.append("the given head is not in this chain: the chain was rewritten or cut")
    return story


def _add(story: _Story, row: sa.RowMapping) -> None:
    detail = row["detail"]
    if not row["thing"]:  # of a batch, or of a board that was refused
        if row["step"] == "batch":
            story.batches[detail.get("batch")] = {name: value for name, value in detail.items() if name != "batch"}
        return
    if row["step"] == "open":
        story.things[row["thing"]] = _IdentityStory(detail.get("batch"), detail.get("attributes"), detail.get("serial"))
    one = story.things.setdefault(row["thing"], _IdentityStory(None, None))
    if row["phase"] != "begin":
        one.trouble = detail.get("cause") if row["phase"] == "failed" else None
    one.state, one.mac, one.certificate_id = row["state"], row["mac"], row["certificate_id"]
    one.in_progress = row["step"] if row["phase"] == "begin" else ""


def _verify_batches(connection: sa.Connection, report: LedgerReport, story: _Story) -> None:
    for row in connection.execute(sa.select(BATCHES)).mappings():
        entered = story.batches.get(row["name"])
        if entered is None and not row["board"]:
            continue  # from before batches had entries
        if entered != {name: row[name] for name in _OF_BATCH}:
            report.findings.append(f"batch {row['name']} does not match its ledger entry")


def _verify_identities(connection: sa.Connection, report: LedgerReport, stories: dict[str, _IdentityStory]) -> None:
    query = sa.select(IDENTITIES, BATCHES.c.name.label("batch")).join(BATCHES, isouter=True)
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query).mappings():
        report.identities += 1
        one = stories.pop(row["thing"], None)
        if one is None:
            report.findings.append(f"{row['thing']} has no entry")
            continue
        for name in ("batch", "attributes", "serial", "state", "in_progress", "mac", "certificate_id", "trouble"):
            if row[name] != getattr(one, name):
                report.findings.append(f"{row['thing']}: its {name} does not match its ledger entries")
        if _certificate_id(row["certificate_pem"]) != row["certificate_id"]:
            report.findings.append(f"{row['thing']}: its certificate does not match its ledger entry")
    report.findings += [f"{thing} has entries, but its identity was removed" for thing in stories]


def _certificate_id(pem: str | None) -> str | None:
    if pem is None:
        return None
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        return ""
