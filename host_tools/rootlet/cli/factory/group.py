"""``rootlet factory``: the line's commands; those that run it and those that talk to AWS live in modules of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import options as registering
from rootlet.cli.factory import aws as factory_aws
from rootlet.cli.factory import books as factory_books
from rootlet.cli.factory import floor as factory_floor
from rootlet.cli.factory import line as factory_line
from rootlet.cli.factory.options import ledger_option, opened, receipts_directory, receipts_option, station_name
from rootlet.cli.identity.options import subject_options
from rootlet.cli.options import (
    PATH,
    board_option,
    ca_option,
    days_option,
    json_option,
    key_type_option,
    output_option,
    signing_key_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.errors import BadInput
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.board.efuses import Feature
    from rootlet.factory.views import BatchView
    from rootlet.pki.subject import Subject


@panels.group(name="factory")
def command() -> None:
    """Provision boards in parallel, with a ledger that proves it.

    Every board gets exactly one identity, and every identity at most one board.

    \b
    A day on the line:
      rootlet factory open monday.csv --ca customer-a    # what is to be made
      rootlet factory run monday --image golden.bin --all-ports
      rootlet factory console                            # the page for the floor
      rootlet factory status monday
      rootlet factory verify-books                       # print the head, keep it with the day's papers
    """


@command.command(
    "open",
    epilog="""\b
Examples:
  rootlet factory open monday.csv --ca customer-a
  rootlet factory open monday --count 500 --pattern 'sensor-#####' --ca customer-a --registration deferred

\b
BATCH.csv has a header. Without a thing, the serial number names it; any further column is an attribute in AWS:
  thing,serial,line
  sensor-1,SN-0001,a
""",
)
@click.argument("batch")
@click.option("--batch-name", help="The batch's name; the file's name without .csv unless given.")
@click.option("--count", type=click.IntRange(1, 10_000_000), help="Instead of a file: how many, named by --pattern.")
@click.option("--pattern", help="A name with a run of # where the number goes, as in 'sensor-#####'.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="The first number in --pattern.")
@board_option()
@ca_option(type=PATH)
@click.option("--customer", help="Whose boards they are. [default: the file's column customer, or the CA's organization]")
@click.option(
    "--registration",
    type=click.Choice(["now", "deferred", "jitp"]),
    help="With AWS: by the station, later by `rootlet factory register`, or by AWS on first connect. [default: now]",
)
@subject_options
@key_type_option("ec-p256", "ec-p384", "rsa-2048")
@days_option(10 * 365)
@registering.policy_options
@click.option(
    "--protect",
    type=click.Choice(["flash-encryption", "secure-boot"]),
    multiple=True,
    help="Burn the eFuses of this feature on every board, for good; needs a MicroPython of your own. Repeatable.",
)
@signing_key_option
@ledger_option
@receipts_option
@json_option
def open_(
    batch: str,
    batch_name: str | None,
    count: int | None,
    pattern: str | None,
    first: int,
    board: str | None,
    ca: Path | None,
    customer: str | None,
    registration: str | None,
    subject: "Subject",
    key_type: str,
    days: int,
    permissions: dict[str, Any],
    protect: "tuple[Feature, ...]",
    signing_key: Path | None,
    where: str,
    receipts: Path | None,
    as_json: bool,
) -> None:
    """Enter a batch into the ledger.

    BATCH is a CSV file, or a name with --count and --pattern.

    It is checked whole before anything is written; whatever cannot be used is listed by row and column.
    """
    from rootlet.factory import opening
    from rootlet.factory.ledger import Ledger

    order = opening.read_order(batch, count, pattern, first)
    shared = {"board": board, "ca": str(ca) if ca else None, "customer": customer, "registration": registration}
    details: dict[str, Any] = {"key_type": key_type, "days": days, "subject": subject.given()}
    details |= opening.protection(protect, signing_key)
    plan = opening.plan(order, shared, **details, **permissions)
    name = batch_name or (batch if count else Path(batch).stem)
    with opened(where) as database:
        ledger = Ledger(database, station=station_name(), receipts=receipts_directory(receipts))
        opening.enter(database, ledger, name, batch, order, plan)
    if as_json:
        emit_json({"batch": name, "things": len(order.identities), **plan.columns()})
        return
    out.print(f"{escape(name)}: {number_of(len(order.identities), 'identity')} for {escape(plan.customer)}, on {plan.board}")
    out.print(f"  issued by {escape(plan.ca)}, registered with AWS: {plan.registration}")
    if protect:
        out.print(f"  every board is protected for good: {', '.join(plan.protect)}")
    out.print(f"  run it: rootlet factory run {escape(name)} --image golden.bin --all-ports")


@command.command(
    epilog="""\b
Examples:
  rootlet factory status
  rootlet factory status monday
  rootlet factory status monday --json
"""
)
@click.argument("batch", required=False)
@ledger_option
@json_option
def status(batch: str | None, where: str, as_json: bool) -> None:
    """Show the progress of every batch, or BATCH and its problems."""
    from rootlet.factory import views

    with opened(where) as database:
        found = [view for view in views.batches(database) if batch in (None, view.name)]
        if batch and not found:
            raise BadInput(f"there is no batch {batch}", hint="list them: rootlet factory status")
        troubled = list(views.lines(database, batch, troubled=True, limit=100)) if batch else []
        cut = list(views.lines(database, batch, begun=True)) if batch else []
    if as_json:
        batches = [
            {"batch": view.name, "total": view.total, "troubled": view.troubled, "states": view.counts} for view in found
        ]
        lines = [{"thing": line.thing, "mac": line.mac, "trouble": line.trouble} for line in troubled]
        emit_json({"batches": batches, "troubled": lines, "in_progress": [line.thing for line in cut]})
        return
    _show_batches(found)
    for line in troubled:
        out.print(f"{line.thing} ({line.mac}), {line.state}: {escape(line.trouble or '')}")
    for line in cut:
        out.print(f"{line.thing} ({line.mac}), {line.state}: {line.in_progress} was started and did not finish")


def _show_batches(found: "list[BatchView]") -> None:
    from rich.table import Table

    from rootlet.factory.schema import State

    shown = [state for state in State if any(view.counts.get(state) for view in found)]
    table = Table("batch", "customer", "board", "AWS", "total", *map(str, shown), "in trouble", box=None)
    for view in found:
        counts = [str(view.counts.get(state, 0)) for state in shown]
        described = (escape(view.name), escape(view.customer), view.board, view.registration, str(view.total))
        table.add_row(*described, *counts, str(view.troubled))
    out.print(table)


@command.command(
    epilog="""\b
Examples:
  rootlet factory retry sensor-00007
  rootlet factory retry sensor-00007 --any-board
"""
)
@click.argument("things", nargs=-1, required=True)
@click.option("--any-board", is_flag=True, help="Its board is lost: the next new board gets the identity.")
@ledger_option
@click.option("--station", default=station_name, help="The name in the books. [default: this computer's]")
@receipts_option
def retry(things: tuple[str, ...], any_board: bool, where: str, station: str, receipts: Path | None) -> None:
    """Reset THINGS that were not proved yet.

    This is for a board that was erased, or is lost.

    A board that merely failed needs no retry: plug it in again, and the station goes on where it stopped.
    """
    from rootlet.factory.ledger import Ledger

    with opened(where) as database:
        ledger = Ledger(database, station=station, receipts=receipts_directory(receipts))
        for thing in things:
            record = ledger.restart(thing, release=any_board)
            out.print(f"{thing}: {'free for any board' if any_board else f'waits for its board {record.mac}'}")


@command.command(
    epilog="""\b
Examples:
  rootlet factory export monday -o monday.csv
  rootlet factory export monday --format json -o monday.json
  rootlet factory export monday --format aws -o things.jsonl
"""
)
@click.argument("batch")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["csv", "json", "aws"]),
    default="csv",
    show_default=True,
    help="aws: the parameters of StartThingRegistrationTask, a line for each proved board.",
)
@click.option("--proved", is_flag=True, help="Only boards whose identity was proved: the customer's manifest.")
@output_option("Write to this file; to stdout unless given.")
@ledger_option
def export(batch: str, kind: str, proved: bool, output: Path | None, where: str) -> None:
    """Write the manifest of BATCH.

    It lists thing, serial number, MAC address, certificate and state of every identity. It never holds a key.
    """
    from rootlet.factory import exports
    from rootlet.files import write_atomic

    with opened(where) as database:
        text = exports.render(database, batch, kind, proved=proved)
    if output is None:
        click.echo(text, nl=False)
        return
    write_atomic(output, text.encode())
    err.print(f"wrote {output}")


# What runs boards, what talks to AWS, and what is shown: each in a module of its own.
for part in (
    factory_line.run,
    factory_aws.register,
    factory_aws.scrap,
    factory_aws.reconcile,
    factory_floor.label,
    factory_floor.console,
    factory_books.verify_books,
    factory_books.recover,
):
    command.add_command(part)

panels.arrange(
    command,
    {
        "The line": ["open", "run", "status", "console", "label"],
        "AWS": ["register", "reconcile"],
        "Repair": ["retry", "scrap", "recover"],
        "The ledger": ["export", "verify-books"],
    },
)
