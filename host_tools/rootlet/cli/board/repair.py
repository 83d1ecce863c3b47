"""``rootlet repair``: new firmware, same identity and state."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected, cost, restarted
from rootlet.cli.board.options import port_options
from rootlet.cli.options import PATH, bare_option
from rootlet.cli.output import err, out
from rootlet.cli.progress import transferred
from rootlet.words import number_of


@panels.command(
    epilog="""\b
Examples:
  rootlet repair golden.bin --port /dev/ttyUSB0
"""
)
@click.argument("image", type=PATH)
@click.option("--forget", is_flag=True, help="Ignore the state that an interrupted repair of this board saved here.")
@bare_option
@port_options
def command(image: Path, forget: bool, bare: bool, port: str | None, baud: int) -> None:
    """Write new firmware and keep identity and state.

    IMAGE's firmware is written; the board's identity, its nvs and its own files stay.

    The files are copied to this machine first (0600) and removed when the board holds them again, so that an interrupted
    repair is completed by the next one.
    """
    from rootlet.board import images, repair

    flash = images.load(image, bare=bare)
    with connected(port, baud, flash.chip) as chip:
        with transferred(f"writing {image.name}", len(flash.data)) as progress:
            done = repair.repair(chip, flash.data, progress, forget=forget)
        restarted(chip)
    if done.resumed:
        err.print("an earlier repair was interrupted: the files come from the copy that it saved")
    if done.state_problem:
        err.print(f"[yellow]no file of its own is kept:[/] {escape(done.state_problem)}")
    out.print(f"{chip.mac} is {escape(done.identity.thing)}, as before; kept {number_of(len(done.kept), 'file')} of its own")
    out.print(cost(done.outcome, baud))
