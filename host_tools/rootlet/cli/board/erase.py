"""``rootlet erase``: everything off the flash."""

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected
from rootlet.cli.board.options import port_options
from rootlet.cli.options import confirm_option
from rootlet.cli.output import out


@panels.command(
    epilog="""\b
Examples:
  rootlet erase
  rootlet erase --thing sensor-1 --port /dev/ttyUSB0
  rootlet erase --confirm 24:0a:c4:12:34:56
"""
)
@click.option("--thing", help="Name the device whose identity goes with it.")
@confirm_option
@port_options
def command(thing: str | None, confirm: str, port: str | None, baud: int) -> None:
    """Erase a board's whole flash.

    A board that carries an identity must be named by --thing: its key may exist nowhere else. Where nobody can say whose
    its credentials are, --confirm takes the place of the name.
    """
    from rootlet.board import credentials

    with connected(port, baud) as chip:
        found = credentials.erase_all(chip, thing, confirm)
    what = f"the identity of {found.thing}" if found and found.thing else "credentials that could not be read"
    out.print(f"{chip.mac}: {chip.flash_size} bytes erased" + (f", with {escape(what)}" if found else ""))
