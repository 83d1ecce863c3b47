"""``rootlet monitor``: the board's log."""

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.options import SERIAL_PORT, baud_option
from rootlet.cli.output import err


@panels.command(
    epilog="""\b
Examples:
  rootlet monitor
  rootlet monitor --port /dev/ttyUSB0 --reset
"""
)
@click.option("--port", type=SERIAL_PORT, help="As pyserial names it. Found where there is just one.")
@baud_option(115_200)
@click.option("--reset", is_flag=True, help="Reset the board first, to see it boot.")
@click.option("--until", metavar="TEXT", help="End at the first line that contains TEXT.")
def command(port: str | None, baud: int, reset: bool, until: str | None) -> None:
    """Show a board's log. Ctrl-C ends. Nothing is sent to it."""
    from rootlet.board import console
    from rootlet.board.chip import find_port

    chosen = port or find_port()
    err.print(f"the log of {chosen}; Ctrl-C ends")
    for line in console.lines(chosen, baud, reset=reset):
        print(line, flush=True)
        if until is not None and until in line:
            return
