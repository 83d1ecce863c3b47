"""``rootlet emulate``: boot a flash image on the virtual board, or on an emulated chip."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rootlet.cli import panels
from rootlet.cli.board import defaults
from rootlet.cli.options import HEAP, MAC, emulated_chip_options
from rootlet.cli.output import err
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from rootlet.emulator.emulated_board import EmulatedBoard


@panels.command(
    epilog="""\b
Examples:
  rootlet emulate flash.bin
  rootlet emulate flash.bin --resolve a1b2-ats.iot.eu-west-1.localhost:127.0.0.1
  rootlet emulate flash.bin --snapshot --heapsize 128K
  rootlet emulate flash.bin --chip --qemu ~/qemu/build     # its own MicroPython, on an emulated ESP32
"""
)
@click.argument("image", type=click.Path(path_type=Path))
@click.option(
    "--resolve",
    metavar="HOST:ADDRESS",
    multiple=True,
    help="What DNS answers for HOST; repeatable. [default: the sandbox's]",
)
@click.option(
    "--heapsize", type=HEAP, default=None, metavar="SIZE", help="MicroPython's heap, such as 176K (the default) or 96K."
)
@click.option("--mac", type=MAC, default=None, help="The chip's MAC address.")
@click.option("--snapshot", is_flag=True, help="Write to a copy: IMAGE stays as it is.")
@click.option("--no-restart", is_flag=True, help="End when the board resets, instead of booting it again.")
@click.option("--max-resets", type=click.IntRange(0), metavar="N", help="End at the reset that follows N others.")
@emulated_chip_options
def command(
    image: Path,
    resolve: tuple[str, ...],
    heapsize: str | None,
    mac: str | None,
    snapshot: bool,
    no_restart: bool,
    max_resets: int | None,
    chip: bool,
    qemu: Path | None,
) -> None:
    """Boot a flash image on the virtual board.

    IMAGE is the very bytes that would be burned; they run under MicroPython's Unix port.
    The board's log goes to stdout. IMAGE is the board's flash: what the board writes stays in it, unless --snapshot is
    given. Ctrl-C pulls the plug.

    With --chip, IMAGE boots with its own MicroPython on an emulated ESP32 or ESP32-C3, which joins the emulator's
    network "Espressif". docs/chip-emulator.md says what to install.
    """
    _check_options(chip, {"--heapsize": heapsize}, {"--qemu": qemu})
    if no_restart and max_resets:
        raise BadInput(f"--no-restart and --max-resets {max_resets} contradict each other", hint="choose one of the two")
    limit = 0 if no_restart else max_resets
    if chip:
        board = _emulated_chip(image, resolve, qemu, mac=mac, snapshot=snapshot, max_resets=limit)
    else:
        board = _virtual_board(image, resolve, heapsize, mac=mac, snapshot=snapshot, max_resets=limit)
    # Terminated as interrupted: the board is stopped first, and waited for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with board:
        code = board.wait()
    if code:
        err.print(f"the board ended with exit code {code}")
    raise SystemExit(code if code >= 0 else 128 - code)


def _virtual_board(
    image: Path, resolve: tuple[str, ...], heapsize: str | None, *, mac: str | None, snapshot: bool, max_resets: int | None
) -> "EmulatedBoard":
    from rootlet.board import inspect_image, mpy
    from rootlet.emulator import virtual_board

    given = dict(virtual_board.parse_resolve(item) for item in resolve)
    virtual_board.check(image)
    mpy.check_virtual_board(inspect_image.read(image), str(image))
    settings = virtual_board.BoardSettings(
        resolve=given or defaults.addresses(image),
        heapsize=heapsize or virtual_board.DEFAULT_HEAP,
        mac=mac or virtual_board.DEFAULT_MAC,
        snapshot=snapshot,
        max_resets=max_resets,
    )
    return virtual_board.VirtualBoard(image, settings, on_line=_show)


def _emulated_chip(
    image: Path, resolve: tuple[str, ...], qemu: Path | None, *, mac: str | None, snapshot: bool, max_resets: int | None
) -> "EmulatedBoard":
    from rootlet.emulator import chip_image
    from rootlet.emulator.virtual_board import DEFAULT_MAC, parse_resolve

    addresses = dict(parse_resolve(item) for item in resolve) or defaults.addresses(image)
    mac = mac or DEFAULT_MAC
    return chip_image.board(image, qemu, addresses, mac=mac, snapshot=snapshot, max_resets=max_resets, on_line=_show)


def _show(line: str) -> None:
    print(line, flush=True)


def _check_options(chip: bool, of_virtual_board: dict[str, object], of_chip: dict[str, object]) -> None:
    """Refuse what would be left out silently."""
    for option, value in of_virtual_board.items():
        if chip and value is not None:
            raise BadInput(f"{option} is for the virtual board only", hint=f"leave out {option}, or --chip")
    for option, value in of_chip.items():
        if not chip and value is not None:
            raise BadInput(f"{option} {value} needs --chip", hint=f"give --chip, or leave {option} out")
