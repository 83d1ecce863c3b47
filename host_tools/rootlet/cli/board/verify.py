"""``rootlet verify``: does the board hold what the image says?"""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected
from rootlet.cli.board.options import port_options
from rootlet.cli.options import PATH, json_option
from rootlet.cli.output import emit_json, out


@panels.command(
    epilog="""\b
Examples:
  rootlet verify golden.bin --thing sensor-1
"""
)
@click.argument("image", type=PATH)
@click.option("--thing", help="The device that it must be; its identity is under --devices.")
@click.option("--devices", default=Path("devices"), show_default=True, type=PATH, help="Identities.")
@port_options
@json_option
def command(image: Path, thing: str | None, devices: Path, port: str | None, baud: int, as_json: bool) -> None:
    """Compare a board with an image, byte for byte.

    Nothing is changed. Exits with 1 where they differ.

    What the chip itself writes (nvs, calibration, the state in vfs) may differ.
    """
    from rootlet.board import images, inspect_board
    from rootlet.pki.identity import DeviceIdentity

    flash = images.load(image, bare=True)
    identity = DeviceIdentity.load(devices / thing) if thing else flash.identity
    with connected(port, baud, flash.chip) as chip:
        found = inspect_board.verify(chip, flash.data, identity)
    if as_json:
        emit_json([vars(mismatch) for mismatch in found])
    for mismatch in () if as_json else found:
        out.print(f"{escape(mismatch.where):<28} {escape(mismatch.what)}")
    if found:
        raise SystemExit(1)
    if not as_json:
        out.print(f"{chip.mac} holds {escape(str(image))}")
