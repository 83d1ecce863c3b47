"""``rootlet bench``: a board's report of itself."""

import json
import signal
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import SERIAL_PORT, baud_option, finite, json_option, output_option
from rootlet.cli.output import emit_json, err, out
from rootlet.words import number_of


@panels.command(
    epilog="""\b
Examples:
  rootlet bench --port /dev/ttyUSB0
  rootlet bench --port /dev/ttyUSB0 --runs 5 -o my-board.json
"""
)
@click.option("--port", type=SERIAL_PORT, help="As pyserial names it. Found where there is just one.")
@baud_option(115_200)
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="Boots to measure, for medians.")
@click.option("--timeout", type=finite(5, 86_400), default=90, show_default=True, help="Seconds from reset to PUBACK.")
@output_option("Write the report to this file as JSON.")
@json_option
def command(port: str | None, baud: int, runs: int, timeout: float, output: Path | None, as_json: bool) -> None:
    """Measure a board that runs leaf: from boot to PUBACK.

    The board is reset and its console read; then its application is stopped, asked for the rest, and started again. The
    report holds no thing name, MAC address, SSID, IP address, endpoint or certificate ID: it can be published
    (docs/chips.md). Exits with 1 where no boot reached its first PUBACK.
    """
    from rootlet.board.bench import Bench
    from rootlet.board.chip import find_port
    from rootlet.files import write_atomic

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # terminated as interrupted: the board is left running
    bench = Bench(port or find_port(), baud, timeout, lambda line: err.print(f"[dim]{escape(line)}[/]"))
    report = bench.measure(runs)
    if output is not None:
        write_atomic(output, (json.dumps(report, indent=2) + "\n").encode())
    if as_json:
        emit_json(report)
    else:
        _show(report)
    if not any(run["connected"] for run in report["runs"]):
        raise SystemExit(1)


def _show(report: dict[str, Any]) -> None:
    out.print(f"{escape(str(report['machine']))}, {escape(str(report['micropython']))}, leaf {report['leaf']}")
    for number, run in enumerate(report["runs"], 1):
        rungs = ", ".join(f"{name} {at}" for name, at in run["rungs_ms"].items())
        faults = ", ".join(f"{word} {number_of(count, 'time')}" for word, count in run["faults"].items())
        out.print(f"  run {number} ({run['reset_cause']})  {rungs or 'nothing'} ms{'; faults: ' + faults if faults else ''}")
    for name, value in report["median"].items():
        out.print(f"  {name:<26} {value:,.0f}")
