"""``rootlet factory run``: the station."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.factory.options import ledger_option, opened, receipts_directory, receipts_option, station_name
from rootlet.cli.options import (
    PATH,
    SECONDS,
    SERIAL_PORT,
    SOME_SECONDS,
    bare_option,
    baud_option,
    ca_option,
    json_option,
    own_build_option,
    signing_key_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.passphrase import SecretSource, authority_opener, secret_options
from rootlet.errors import RootletError
from rootlet.words import are, number_of

if TYPE_CHECKING:
    from rich.table import Table

    from rootlet.factory.database import Database
    from rootlet.factory.floor import Floor
    from rootlet.factory.line import ProductionLine, Summary
    from rootlet.factory.signing import SigningDesk
    from rootlet.factory.station import PortStatus
    from rootlet.factory.watch import Ports
    from rootlet.factory.worker import Setup

_SECRETS = ("ROOTLET_CA_PASSPHRASE", "ROOTLET_CA_PIN", "ROOTLET_KEYS_PASSPHRASE")
_KEYS = SecretSource(None, None, "ROOTLET_KEYS", "--keys")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory run monday --image golden.bin --all-ports
  rootlet factory run monday --image golden.bin --port '/dev/ttyUSB*' --labels tcp://printer:9100 --label-kind zpl
  rootlet factory run monday --port /dev/ttyUSB0 --port /dev/ttyUSB1 --jig --once --json
"""
)
@click.argument("batch")
@click.option("--port", "ports", type=SERIAL_PORT, multiple=True, help="A port, or a pattern in quotes; repeatable.")
@click.option("--all-ports", "every", is_flag=True, help="Every USB serial port that is there or appears.")
@click.option("--image", type=PATH, help="The golden image, for boards that do not carry it yet.")
@bare_option
@ca_option(type=PATH)
@secret_options
@click.option("--once", is_flag=True, help="One board a port, then end; the exit code is 1 where one failed.")
@click.option(
    "--patience", type=SECONDS, default=60.0, show_default=True, help="With --once: seconds a board waits for ledger and CA."
)
@click.option("--jig", is_flag=True, help="The ports stay when boards are swapped: look at the MAC address instead.")
@click.option(
    "--wait-online",
    type=SOME_SECONDS,
    metavar="SECONDS",
    help="Wait this long for each registered board to boot and connect.",
)
@click.option("--labels", "place", help="A directory, a printer (tcp://HOST:9100) or its device file.")
@click.option(
    "--label-kind", type=click.Choice(["png", "zpl"]), default="png", show_default=True, help="How labels are written."
)
@click.option("--label-code", default="{thing}", show_default=True, help="What the QR code says.")
@click.option("--label-text", default="{thing}\\nSN {serial}\\n{mac}", show_default=True, help="The lines of text.")
@signing_key_option
@own_build_option
@click.option(
    "--virtual-efuses",
    type=PATH,
    help="Rehearse a protected batch: a file for each board in this directory stands for its eFuses.",
)
@click.option(
    "--keep-keys",
    type=PATH,
    help="Also keep every device's key here, encrypted (passphrase: ROOTLET_KEYS_PASSPHRASE, or a prompt).",
)
@baud_option(460_800)
@click.option("--station", default=station_name, help="The name in the books. [default: this computer's]")
@ledger_option
@receipts_option
@json_option
def run(
    batch: str,
    ports: tuple[str, ...],
    every: bool,
    image: Path | None,
    bare: bool,
    ca: Path | None,
    secret: SecretSource,
    signing_key: Path | None,
    own_build: bool,
    virtual_efuses: Path | None,
    once: bool,
    patience: float,
    jig: bool,
    wait_online: float | None,
    place: str | None,
    label_kind: str,
    label_code: str,
    label_text: str,
    keep_keys: Path | None,
    baud: int,
    station: str,
    where: str,
    receipts: Path | None,
    as_json: bool,
) -> None:
    """Provision every board that is plugged in.

    Each gets identity, image, proof, registration and label.

    Each port works for itself. Ctrl-C finishes the boards in hand and prints the summary; again, it stops at once. Pull
    any plug at any time: the next run continues where this one stopped.
    """
    from rootlet.factory.labels import Template
    from rootlet.factory.preparation import Given, prepare
    from rootlet.factory.signing import SigningDesk
    from rootlet.factory.watch import Ports
    from rootlet.factory.worker import LabelPlan, Setup

    watched = Ports(ports, every=every)
    Template(label_code, label_text)  # says now what it cannot fill in
    labels = LabelPlan(place, label_kind, label_code, label_text) if place else None
    with opened(where) as database:
        kept = receipts_directory(receipts)
        given = Given(image, bare, ca, signing_key, own_build, virtual_efuses)
        ready = prepare(database, station, batch, given, receipts=kept)
        keep = (str(keep_keys), _keys_passphrase()) if keep_keys else None
        with contextlib.closing(SigningDesk(authority_opener(ready.ca, secret), ready.plan)) as desk:
            # fmt: off
            setup = Setup(where, str(kept), station, batch, ready.plan, ready.chip, ready.image, _der(desk.issuers), baud,
                          once, patience, jig, wait_online, labels, keep, ready.protection)
            # fmt: on
            summary = _run(database, setup, watched, desk)
    _report(summary, batch, as_json=as_json)
    if once and summary.troubles:
        count = len(summary.troubles)
        raise RootletError(f"{number_of(count, 'board')} {are(count)} not finished", hint="see above, board by board")


def _keys_passphrase() -> bytes:
    return _KEYS.passphrase("passphrase for the keys that are kept", confirm=True)


def _der(certificates: Any) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding

    return tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def _run(database: "Database", setup: "Setup", ports: "Ports", desk: "SigningDesk") -> "Summary":
    from rootlet.factory.floor import Floor
    from rootlet.factory.line import ProductionLine

    for name in _SECRETS:
        os.environ.pop(name, None)  # the ports' processes have no use for it
    floor = Floor(database, setup.station, setup.batch)
    with _shown(floor):
        return _until_the_end(ProductionLine(setup, ports, desk, floor, on_status=_say))


def _until_the_end(line: "ProductionLine") -> "Summary":
    """Until the end, or until Ctrl-C lets the boards in hand finish; a second one does not."""

    def first(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        err.print("finishing the boards in progress; Ctrl-C again stops at once")
        line.stop()

    previous = signal.signal(signal.SIGINT, first)
    terminate = signal.signal(signal.SIGTERM, lambda *_: line.stop())
    try:
        return line.run()
    finally:
        signal.signal(signal.SIGINT, previous)
        signal.signal(signal.SIGTERM, terminate)


@contextlib.contextmanager
def _shown(floor: "Floor") -> Iterator[None]:
    """What every port is doing, where somebody watches a terminal."""
    if not err.is_terminal:
        yield
        return
    from rich.live import Live

    with Live(get_renderable=lambda: _table(floor), console=err, refresh_per_second=4, transient=True):
        yield


def _table(floor: "Floor") -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table("port", "", "", "thing", "passed", "failed", box=None)
    for tile in list(floor.tiles.values()):
        bar = ProgressBar(1.0, tile.fraction, width=20) if tile.fraction else ""
        table.add_row(escape(tile.port), tile.phase, bar, tile.thing or tile.mac, str(tile.passed), str(tile.failed))
    return table


def _say(port: str, status: "PortStatus", ended: bool) -> None:
    """A line a board on stderr."""
    from rootlet.factory.schema import Step
    from rootlet.factory.station import Phase

    colours: dict[str, str] = {
        Phase.DONE: "green",
        Phase.ALREADY: "green",
        Phase.FAILED: "bold red",
        Phase.REFUSED: "bold red",
    }
    colour = colours.get(status.phase, "yellow")
    who = " ".join(part for part in (port, status.mac, status.thing) if part)
    if ended or (status.what and status.phase in (Phase.HELD, Step.QUEUE)):
        err.print(f"[{colour}]{status.phase}[/] {escape(who)}: {escape(status.what)}")
        if status.hint and status.phase is not Phase.DONE:
            err.print(f"    {escape(status.hint)}")


def _report(summary: "Summary", batch: str, *, as_json: bool) -> None:
    from rootlet.factory.station import Phase

    done = summary.count(Phase.DONE)
    rate = done * 3600 / summary.seconds if summary.seconds else 0.0
    if as_json:
        troubles = [
            {
                "port": port,
                "phase": status.phase,
                "mac": status.mac,
                "thing": status.thing,
                "what": status.what,
                "hint": status.hint,
            }
            for port, status in summary.troubles
        ]
        ended = {str(phase): count for phase, count in summary.ended.items()}
        emit_json({"batch": batch, "ended": ended, "seconds": summary.seconds, "per_hour": rate, "troubles": troubles})
        return
    counts = ", ".join(f"{count} {phase}" for phase, count in summary.ended.items()) or "no board"
    out.print(f"{escape(batch)}: {counts} in {summary.seconds:.0f} s ({number_of(round(rate), 'board')} an hour)")
    for port, status in summary.troubles:
        out.print(f"  {escape(port)} {status.mac} {status.phase}: {escape(status.what)}")


panels.arrange_options(
    run,
    {
        "Boards": ["--port", "--all-ports", "--baud", "--jig", "--once", "--patience", "--wait-online"],
        "Image": ["--image", "--bare"],
        "CA": ["--ca", "--passphrase-file", "--passphrase-fd", "--keep-keys"],
        "eFuses": ["--signing-key", "--own-build", "--virtual-efuses"],
        "Labels": ["--labels", "--label-kind", "--label-code", "--label-text"],
    },
)
