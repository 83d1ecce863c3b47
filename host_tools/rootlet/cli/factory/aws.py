"""``rootlet factory register | scrap | reconcile``: where the ledger and AWS meet."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.factory.options import ledger_option, opened, receipts_directory, receipts_option, station_name
from rootlet.cli.options import PATH, SERIAL_PORT, ca_option, finite, json_option
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.progress import counted
from rootlet.errors import RootletError
from rootlet.words import are, number_of

if TYPE_CHECKING:
    from rootlet.factory.database import Database
    from rootlet.factory.ledger import Ledger

_STATION = click.option("--station", default=station_name, help="The name in the books. [default: this computer's]")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory register monday
  rootlet factory register monday --rate 4
"""
)
@click.argument("batch")
@click.option("--rate", type=finite(0.1, 1000), default=9.0, show_default=True, help="Registrations a second.")
@ca_option(type=PATH)
@_STATION
@ledger_option
@receipts_option
@json_option
def register(
    batch: str, rate: float, ca: Path | None, station: str, where: str, receipts: Path | None, as_json: bool
) -> None:
    """Register the boards of BATCH that are not registered yet.

    These are deferred ones, and those for which AWS did not answer.

    Interrupted? Repeat the command: it continues where it stopped, and nothing is registered twice.
    """
    from rootlet.cloud import client, registration
    from rootlet.factory import registrar
    from rootlet.factory.ledger import Ledger
    from rootlet.pki.authority import read_certificates

    with opened(where) as database, counted("registering") as progress:
        ledger = Ledger(database, station=station, receipts=receipts_directory(receipts))
        plan = ledger.plan(batch)
        certificate, above = read_certificates(ca or Path(plan.ca))
        iot = client.iot()
        registration.check(iot, registrar.request(plan))
        registering = registrar.Registrar(iot, plan, (certificate, *above))
        drained = registrar.drain(database, ledger, batch, registering, rate=rate, progress=progress)
    if as_json:
        failed = [{"thing": thing, "cause": cause} for thing, cause in drained.failed]
        emit_json({"batch": batch, "registered": drained.registered, "failed": failed, "left": drained.left})
    else:
        out.print(f"{escape(batch)}: {drained.registered} registered, {len(drained.failed)} failed")
        for thing, cause in drained.failed:
            out.print(f"  {thing}: {escape(cause)}")
    if drained.failed:
        count = number_of(len(drained.failed), "board")
        raise RootletError(f"{count} could not be registered", hint="repeat the command: it continues")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory scrap sensor-00007 --reason "dropped"
"""
)
@click.argument("things", nargs=-1, required=True)
@click.option("--reason", required=True, help="For the books.")
@_STATION
@ledger_option
@receipts_option
def scrap(things: tuple[str, ...], reason: str, station: str, where: str, receipts: Path | None) -> None:
    """Scrap THINGS for good.

    Certificates that AWS may trust are revoked there first.
    The board, if it still works, may then have another identity.
    """
    from rootlet.cloud import client
    from rootlet.factory import registrar
    from rootlet.factory.ledger import Ledger

    with opened(where) as database:
        ledger = Ledger(database, station=station, receipts=receipts_directory(receipts))
        for thing in things:
            ledger.needs_revoking(thing)  # raises for an unknown one, before another is revoked
        for thing in things:
            revoked = registrar.scrap(ledger, client.iot, thing, reason)
            out.print(f"{thing}: {'revoked in AWS, and ' if revoked else ''}scrapped")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory reconcile monday
  rootlet factory reconcile monday --update
  rootlet factory reconcile monday --connected-board --port /dev/ttyUSB0
"""
)
@click.argument("batch")
@click.option("--update", is_flag=True, help="Enter what AWS did and the ledger has not heard of (JITP, a lost answer).")
@click.option("--connected-board", is_flag=True, help="Compare with the board in hand instead of AWS.")
@click.option("--port", type=SERIAL_PORT, help="That board's port. Found where there is just one.")
@_STATION
@ledger_option
@receipts_option
@json_option
def reconcile(
    batch: str,
    update: bool,
    connected_board: bool,
    port: str | None,
    station: str,
    where: str,
    receipts: Path | None,
    as_json: bool,
) -> None:
    """Compare the ledger with AWS, or with a connected board.

    AWS and the board are not changed. Exits with 1 where they disagree.
    """
    from rootlet.factory.ledger import Ledger

    with opened(where) as database:
        ledger = Ledger(database, station=station, receipts=receipts_directory(receipts))
        ledger.plan(batch)  # raises where there is no such batch
        by_board = connected_board or bool(port)
        findings = _with_board(database, batch, port) if by_board else _with_aws(database, ledger, batch, update)
    count = number_of(len(findings), "disagreement")
    if as_json:
        emit_json({"batch": batch, "findings": findings})
    else:
        for finding in findings:
            out.print(f"{finding['thing']}: {escape(str(finding['what']))}{', entered' if finding.get('entered') else ''}")
        out.print(f"{escape(batch)}: {count}")
    left = [finding for finding in findings if not finding.get("entered")]
    if left:
        what = f"{number_of(len(left), 'disagreement')} {are(len(left))} not resolved"
        raise RootletError(what, hint="see above; docs/factory.md says what each means")


def _with_board(database: "Database", batch: str, port: str | None) -> list[dict[str, Any]]:
    from rootlet.board.chip import Chip, find_port
    from rootlet.factory import inquiry

    with Chip(port or find_port(), even_encrypted=True) as chip:
        answer = inquiry.who_is(database, batch, chip)
    err.print(f"{answer.mac} is {escape(answer.thing or 'unknown')}")
    return [{"thing": answer.thing, "what": what} for what in answer.problems]


def _with_aws(database: "Database", ledger: "Ledger", batch: str, update: bool) -> list[dict[str, Any]]:
    from rootlet.cloud import client
    from rootlet.factory import registrar

    found = registrar.reconcile(database, ledger, client.iot(), batch, mend=update)
    return [{"thing": one.thing, "what": one.what, "entered": update and one.mend} for one in found]
