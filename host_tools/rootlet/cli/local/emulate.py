"""``rootlet emulate``: boot a flash image on the virtual board."""

import signal
from pathlib import Path

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.board import defaults
from rootlet.cli.output import err


@panels.command(
    epilog="""\b
Examples:
  rootlet emulate flash.bin
  rootlet emulate flash.bin --resolve a1b2-ats.iot.eu-west-1.localhost:127.0.0.1
  rootlet emulate flash.bin --snapshot --heapsize 128K
"""
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--resolve",
    metavar="HOST:ADDRESS",
    multiple=True,
    help="What DNS answers for HOST; repeatable. [default: the sandbox's]",
)
@click.option("--heapsize", default=None, metavar="SIZE", help="MicroPython's heap, such as 176K (the default) or 96K.")
@click.option("--mac", default=None, help="The chip's MAC address.")
@click.option("--snapshot", is_flag=True, help="Write to a copy: IMAGE stays as it is.")
@click.option("--no-restart", is_flag=True, help="End when the board resets, instead of booting it again.")
def command(
    image: Path, resolve: tuple[str, ...], heapsize: str | None, mac: str | None, snapshot: bool, no_restart: bool
) -> None:
    """Boot a flash image on the virtual board.

    IMAGE is the very bytes that would be burned; they run under MicroPython's Unix port.
    The board's log goes to stdout. IMAGE is the board's flash: what the board writes stays in it, unless --snapshot is
    given. Ctrl-C pulls the plug.
    """
    from rootlet.emulator import virtual_board

    given = dict(virtual_board.parse_resolve(item) for item in resolve)
    virtual_board.check(image)
    settings = virtual_board.BoardSettings(
        resolve=given or defaults.addresses(image),
        heapsize=heapsize or virtual_board.DEFAULT_HEAP,
        mac=mac or virtual_board.DEFAULT_MAC,
        snapshot=snapshot,
        max_resets=0 if no_restart else None,
    )
    # Terminated as interrupted: the board is stopped first, and waited for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with virtual_board.VirtualBoard(image, settings, on_line=lambda line: print(line, flush=True)) as board:
        code = board.wait()
    if code:
        err.print(f"the board ended with exit code {code}")
    raise SystemExit(code if code >= 0 else 128 - code)
