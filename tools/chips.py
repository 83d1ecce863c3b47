"""Put the reports in docs/chips into the table of docs/chips.md. Needs the environment that make setup makes."""

import sys
from pathlib import Path

from rootlet.board import bench_report

DOCS = Path(__file__).resolve().parents[1] / "docs"

if __name__ == "__main__":
    page = DOCS / "chips.md"
    try:
        page.write_text(bench_report.page(page.read_text(), DOCS / "chips"))
    except ValueError as error:
        sys.exit(f"error: {error}")
