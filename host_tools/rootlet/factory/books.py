"""Verify the books: the chain is whole, and what the ledger says now is what its entries led to.

The chain has no secret in it. Who can write the whole database can also write a whole new chain; that is found only by
comparing with a head that was kept elsewhere (``LedgerReport.head``, to print with the day's papers; ``kept`` here).
"""

import hashlib
import ssl
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from rootlet.factory.database import Database
from rootlet.factory.ledger import entry_hash
from rootlet.factory.schema import BATCHES, ENTRIES, HEAD, IDENTITIES

_START = "0" * 64
_ROWS_AT_ONCE = 5000
_OF_BATCH = ("board", "customer", "ca_sha256", "registration", "details")


@dataclass(frozen=True)
class Head:
    """The chain's end: the number of entries and the last one's hash (hex)."""

    seq: int
    hash: str


@dataclass
class LedgerReport:
    """What was found; no findings means that the books are in order."""

    head: Head
    entries: int = 0
    identities: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass
class _Told:
    """What the entries tell of one identity."""

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
    """What the entries tell, thing by thing and batch by batch."""

    things: dict[str, _Told] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)


def verify_books(database: Database, *, kept: Head | None = None) -> LedgerReport:
    """Read the whole ledger at one moment and report what does not add up."""
    with database.reading() as connection:
        head = connection.execute(sa.select(HEAD)).one_or_none()
        report = LedgerReport(head=Head(head.seq, head.hash) if head else Head(0, ""))
        story = _verify_chain(connection, report, kept)
        _verify_batches(connection, report, story)
        _verify_identities(connection, report, story.things)
    return report


def _verify_chain(connection: sa.Connection, report: LedgerReport, kept: Head | None) -> _Story:
    story = _Story()
    seq, previous, found_kept = 0, _START, kept is None or kept == Head(0, _START)
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(sa.select(ENTRIES).order_by(ENTRIES.c.seq))
    for row in rows.mappings():
        if row["seq"] != seq + 1:
            report.findings.append(f"entry {seq + 1} is missing (the next one is {row['seq']})")
        elif row["previous"] != previous:
            report.findings.append(f"entry {row['seq']} does not follow the one before it")
        if entry_hash(dict(row)) != row["hash"]:
            report.findings.append(f"entry {row['seq']} was altered")
        seq, previous = row["seq"], row["hash"]
        found_kept = found_kept or Head(seq, previous) == kept
        report.entries += 1
        _tell(story, row)
    if Head(seq, previous) != report.head:
        report.findings.append(f"the chain ends at entry {seq}, its head says {report.head.seq}: its end was removed")
    if not found_kept:
        report.findings.append("the head that was kept is not in this chain: the chain was written anew, or cut")
    return story


def _tell(story: _Story, row: sa.RowMapping) -> None:
    detail = row["detail"]
    if not row["thing"]:  # of a batch, or of a board that was sent away
        if row["step"] == "batch":
            story.batches[detail.get("batch")] = {name: value for name, value in detail.items() if name != "batch"}
        return
    if row["step"] == "open":
        story.things[row["thing"]] = _Told(detail.get("batch"), detail.get("attributes"), detail.get("serial"))
    one = story.things.setdefault(row["thing"], _Told(None, None))
    if row["phase"] != "begin":
        one.trouble = detail.get("cause") if row["phase"] == "failed" else None
    one.state, one.mac, one.certificate_id = row["state"], row["mac"], row["certificate_id"]
    one.in_progress = row["step"] if row["phase"] == "begin" else ""


def _verify_batches(connection: sa.Connection, report: LedgerReport, story: _Story) -> None:
    for row in connection.execute(sa.select(BATCHES)).mappings():
        told = story.batches.get(row["name"])
        if told is None and not row["board"]:
            continue  # from before batches were entered
        if told != {name: row[name] for name in _OF_BATCH}:
            report.findings.append(f"batch {row['name']}: what it is, is not what its entry says")


def _verify_identities(connection: sa.Connection, report: LedgerReport, told: dict[str, _Told]) -> None:
    query = sa.select(IDENTITIES, BATCHES.c.name.label("batch")).join(BATCHES, isouter=True)
    for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query).mappings():
        report.identities += 1
        one = told.pop(row["thing"], None)
        if one is None:
            report.findings.append(f"{row['thing']} has no entry")
            continue
        for name in ("batch", "attributes", "serial", "state", "in_progress", "mac", "certificate_id", "trouble"):
            if row[name] != getattr(one, name):
                report.findings.append(f"{row['thing']}: its {name} is not what the entries say")
        if _certificate_id(row["certificate_pem"]) != row["certificate_id"]:
            report.findings.append(f"{row['thing']}: its certificate is not the one it was issued")
    report.findings += [f"{thing} has entries and is gone" for thing in told]


def _certificate_id(pem: str | None) -> str | None:
    if pem is None:
        return None
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        return ""
