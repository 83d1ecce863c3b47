"""``rootlet push``: the developer's loop."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import PATH, SERIAL_PORT, baud_option
from rootlet.cli.output import err, out
from rootlet.words import number_of


@panels.command(
    epilog="""\b
Examples:
  rootlet push my_app/
  rootlet push my_app.py --config config.json --port /dev/ttyUSB0
"""
)
@click.argument("application", type=PATH)
@click.option("--config", "config_path", type=PATH, help="Also send this configuration.")
@click.option("--port", type=SERIAL_PORT, help="As pyserial names it. Found where there is just one.")
@baud_option(115_200)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Show the log after the reset, until Ctrl-C.")
@click.option("--until", metavar="TEXT", help="End at the first line that contains TEXT.")
def command(
    application: Path, config_path: Path | None, port: str | None, baud: int, follow: bool, until: str | None
) -> None:
    """Send changed code to a running board.

    The files of APPLICATION and leaf that changed are sent; then the board is soft-reset and its log shown.

    The board's identity, roots and state are not touched. What is sent goes to vfs and takes precedence over the code in
    romfs; code that is the same in romfs is not sent. A watchdog that the application armed goes on counting meanwhile.
    """
    from rootlet.board import firmware
    from rootlet.board.chip import find_port
    from rootlet.board.config import load_config
    from rootlet.board.repl import Repl

    files = firmware.code(application, None)
    config = {} if config_path is None else {"/config.json": firmware.to_json(load_config(config_path))}
    with Repl(port or find_port(), baud) as board:
        done = board.push({**board.fitting(application, files), **config}, lambda name: err.print(f"  {escape(name)}"))
        removed = f", {len(done.removed)} removed" if done.removed else ""
        out.print(f"{number_of(len(done.sent), 'file')} sent ({done.sent_bytes} bytes){removed}, {done.unchanged} unchanged")
        board.restart()
        for line in board.lines() if follow or until else ():
            print(line, flush=True)
            if until is not None and until in line:
                return
