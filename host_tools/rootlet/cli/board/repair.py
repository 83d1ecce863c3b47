"""``rootlet repair``: new firmware, same identity and state."""

from pathlib import Path

import click
from rich.markup import escape

from rootlet.cli.board.options import connected, port_options, restarted, shown, told
from rootlet.cli.options import PATH
from rootlet.cli.output import err, out


@click.command(
    epilog="""\b
Examples:
  rootlet repair golden.bin --port /dev/ttyUSB0
"""
)
@click.argument("image", type=PATH)
@click.option("--forget", is_flag=True, help="Ignore the state that an interrupted repair of this board saved here.")
@click.option("--bare", is_flag=True, help="Allow an IMAGE without MicroPython: no real board starts from it.")
@port_options
def command(image: Path, forget: bool, bare: bool, port: str | None, baud: int) -> None:
    """Write IMAGE's firmware to a board in the field; keep its identity, its nvs and its files.

    The files are copied to this machine first (0600) and removed when the board holds them again, so that an interrupted
    repair is completed by the next one.
    """
    from rootlet.board import images, repair

    flash = images.load(image, bare=bare)
    with connected(port, baud, flash.chip) as chip:
        with shown(f"writing {image.name}", len(flash.data)) as progress:
            done = repair.repair(chip, flash.data, progress, forget=forget)
        restarted(chip)
    if done.resumed:
        err.print("an earlier repair was interrupted: the files come from the copy that it saved")
    out.print(f"{chip.mac} is {escape(done.identity.thing)}, as before; kept {len(done.kept)} files of its own")
    out.print(told(done.outcome, baud))
