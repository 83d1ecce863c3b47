"""The ledger with 100,000 rows: python bench/ledger.py [ROWS]. The peer is the bare reading and hashing of the same file."""

import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rootlet.factory.admission import ConnectedBoard
from rootlet.factory.books import verify_books
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, NewIdentity

ASSIGNMENTS = 300
PLAN = BatchPlan(board="esp32_generic", customer="bench", ca_sha256="00" * 32)


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        database = Database(path)
        ledger = Ledger(database, station="bench", receipts=Path(directory) / "receipts")
        start = time.perf_counter()
        ledger.open_batch("bench", [NewIdentity(f"thing-{n:07}", {"line": "a"}) for n in range(rows)], PLAN)
        print(f"open_batch    {time.perf_counter() - start:8.2f} s for {rows} rows")

        each = []
        for n in range(ASSIGNMENTS):
            start = time.perf_counter()
            ledger.assign("bench", ConnectedBoard(f"24:0a:c4:00:{n >> 8:02x}:{n & 255:02x}"))
            each.append((time.perf_counter() - start) * 1000)
        each.sort()
        print(f"assign        {statistics.median(each):8.2f} ms median, {each[int(0.99 * len(each))]:.2f} ms p99")

        start = time.perf_counter()
        ledger.status("bench")
        print(f"status        {(time.perf_counter() - start) * 1000:8.2f} ms")

        start = time.perf_counter()
        with sqlite3.connect(path) as bare:
            for row in bare.execute("SELECT * FROM entries ORDER BY seq"):
                hashlib.sha256(repr(row).encode()).hexdigest()
            bare.execute("SELECT * FROM identities").fetchall()
        peer = time.perf_counter() - start
        start = time.perf_counter()
        report = verify_books(database)
        ours = time.perf_counter() - start
        print(f"verify_books  {ours:8.2f} s for {report.entries} entries, {len(report.findings)} findings")
        print(f"              {ours / peer:8.2f} times bare sqlite3 and SHA-256 over the same rows ({peer:.2f} s)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
