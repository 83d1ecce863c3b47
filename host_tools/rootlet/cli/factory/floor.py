"""``rootlet factory label | console``: what is printed, and what the floor sees."""

from pathlib import Path

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.factory.options import ledger_option, opened, station_name
from rootlet.cli.options import MILLIMETRES, PATH, listen_address, output_option
from rootlet.cli.output import err, out
from rootlet.errors import BadInput
from rootlet.words import number_of

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory label monday -o labels.pdf
  rootlet factory label monday --thing sensor-00007 -o label.png
  rootlet factory label monday -o labels.zpl --text '{thing}\\nSN {serial}' --code 'https://example.com/d/{thing}'
"""
)
@click.argument("batch")
@click.option("--thing", "things", multiple=True, help="Only this one; repeatable. All proved ones unless given.")
@output_option("Write to this file: .pdf, .zpl or .png.", required=True)
@click.option("--code", default="{thing}", show_default=True, help="What the QR code says.")
@click.option("--text", default="{thing}\\nSN {serial}\\n{mac}", show_default=True, help="The lines of text.")
@click.option("--width", type=MILLIMETRES, default=50, show_default=True, help="Of a label, in mm.")
@click.option("--height", type=MILLIMETRES, default=25, show_default=True, help="Of a label, in mm.")
@click.option("--columns", type=click.IntRange(1, 20), default=3, show_default=True, help="Of labels on a page of A4.")
@click.option("--rows", type=click.IntRange(1, 40), default=9, show_default=True, help="Of labels on a page of A4.")
@ledger_option
def label(
    batch: str,
    things: tuple[str, ...],
    output: Path,
    code: str,
    text: str,
    width: float,
    height: float,
    columns: int,
    rows: int,
    where: str,
) -> None:
    """Write the labels of BATCH to a file.

    It is a sheet as PDF, ZPL for a label printer, or one label as PNG.
    The text may name {thing}, {serial}, {mac}, {batch}, {customer}, {certificate_id} and {attributes[NAME]}.
    """
    from rootlet.factory import labels, views
    from rootlet.factory.ledger import Ledger
    from rootlet.factory.schema import AFTER_PROOF
    from rootlet.files import write_atomic

    template = labels.Template(code, text)
    size = labels.Size(width, height)
    with opened(where) as database:
        ledger = Ledger(database, station=station_name())
        customer = ledger.plan(batch).customer
        names = list(things) or [line.thing for line in views.lines(database, batch, states=AFTER_PROOF)]
        contents = [template.fill(ledger.record(name), customer) for name in names]
    if not contents:
        raise BadInput(f"{batch} has no proved board yet", hint="name things with --thing, or provision one first")
    data = labels.encode(contents, output.suffix, size, labels.Sheet(columns, rows))
    write_atomic(output, data)
    err.print(f"{output}: {number_of(len(contents), 'label')}")


@panels.command(
    epilog="""\b
Examples:
  rootlet factory console
  rootlet factory console --listen 0.0.0.0:8080
"""
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:8400",
    show_default=True,
    help="Serve at this address; beyond loopback visitors need the token. Port 0: any free one.",
)
@click.option("--token-file", type=PATH, help="For a lasting token; made (0600) where it is missing.")
@ledger_option
def console(listen: str, token_file: Path | None, where: str) -> None:
    """Serve the web page of the factory floor.

    It shows a live tile for each port of every station on this ledger, and the batches.

    Whoever opens it to the network must give its visitors the token that is in the printed address.
    """
    import secrets

    from rootlet.factory.console import server
    from rootlet.files import read_input, write_secret

    host, port = listen_address(listen, any_port=True)
    token = None
    if token_file is not None:
        if not token_file.exists():
            write_secret(token_file, secrets.token_urlsafe(24).encode())
        token = read_input(token_file, "token file").decode().strip()
        if len(token) < 16:
            raise BadInput(
                f"the token in {token_file} has fewer than 16 characters", hint="remove the file: a new one is made"
            )
    elif host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
    with opened(where) as database:
        server.serve(database, host, port, token, ready=lambda url: out.print(f"serving the floor page at {url}"))
