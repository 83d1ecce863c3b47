"""``rootlet erase``: everything off the flash."""

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected
from rootlet.cli.board.options import port_options
from rootlet.cli.output import out


@panels.command(
    epilog="""\b
Examples:
  rootlet erase
  rootlet erase --thing sensor-1 --port /dev/ttyUSB0
"""
)
@click.option("--thing", help="Name the device whose identity goes with it.")
@port_options
def command(thing: str | None, port: str | None, baud: int) -> None:
    """Erase a board's whole flash.

    A board that carries an identity must be named by --thing: its key may exist nowhere else.
    """
    from rootlet.board import flasher
    from rootlet.errors import BadInput, RootletError

    with connected(port, baud) as chip:
        try:
            found = flasher.read_identity(chip, flasher.read_table(chip))
        except RootletError:
            found = None  # damaged or absent: nothing to lose
        if found is not None and found.thing != thing:
            raise BadInput(f"the board carries the identity of {found.thing}", hint=f"confirm: --thing {found.thing}")
        chip.erase_all()
        if chip.md5(0, chip.flash_size) != flasher.erased_md5(chip.flash_size):
            raise RootletError("the flash is not empty after the erase", hint="run it again; the flash chip may be at fault")
    out.print(
        f"{chip.mac}: {chip.flash_size} bytes erased" + (f", with the identity of {escape(found.thing)}" if found else "")
    )
