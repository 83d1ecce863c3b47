"""``rootlet flash``: from a factory-fresh board to a provisioned device, in one command."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.options import connected, port_options, restarted, shown, told
from rootlet.cli.options import PATH, bare_option, json_option
from rootlet.cli.output import emit_json, out

if TYPE_CHECKING:
    from rootlet.pki.identity import DeviceIdentity


@panels.command(
    epilog="""\b
Examples:
  rootlet flash golden.bin --thing sensor-1
  rootlet flash golden.bin --thing sensor-1 --port /dev/ttyUSB0 --json
  rootlet flash --identity-only --thing sensor-1 --port socket://127.0.0.1:5555
"""
)
@click.argument("image", required=False, type=PATH)
@click.option("--thing", help="The device's name; its identity is in the directory of that name under --devices.")
@click.option("--devices", default=Path("devices"), show_default=True, type=PATH, help="Identities.")
@click.option("--device", type=PATH, help="The identity's directory, in place of --thing and --devices.")
@click.option("--identity-only", is_flag=True, help="Write the credentials alone, to a board that carries the golden image.")
@click.option("--no-identity", is_flag=True, help="Write a golden image and leave the board without an identity.")
@click.option("--replace", is_flag=True, help="Overwrite another thing's identity, whose key may exist nowhere else.")
@bare_option
@port_options
@json_option
def command(
    image: Path | None,
    thing: str | None,
    devices: Path,
    device: Path | None,
    identity_only: bool,
    no_identity: bool,
    replace: bool,
    bare: bool,
    port: str | None,
    baud: int,
    as_json: bool,
) -> None:
    """Write an image to a board and make it a device.

    The chip is detected and the wrong one refused; only what differs is written; every region is compared afterwards, and
    certificate and key are read back. Interrupted at any point, a second run completes.
    """
    from rootlet.board import flasher, images
    from rootlet.errors import BadInput

    if identity_only == (image is not None):
        raise BadInput("give either IMAGE or --identity-only", hint="see rootlet flash --help")
    flash = images.load(image, bare=bare) if image else None
    identity = _identity(
        flash.identity if flash else None, thing, device or (devices / thing if thing else None), no_identity
    )
    with connected(port, baud, flash.chip if flash else None) as chip:
        if identity is not None:
            flasher.guard_identity(chip, identity, replace)
        if flash is None:
            assert identity is not None
            with shown(f"writing the identity of {identity.thing}", 0x2000) as progress:
                outcome = flasher.write_identity(chip, identity, progress)
        else:
            flasher.check_fit(chip, flash.data)
            content = flasher.with_identity(flash.data, identity) if identity else flash.data
            if identity is None:
                flasher.guard_identity(chip, None, replace)
            with shown(f"writing {flash.path.name}", len(content)) as progress:
                outcome = flasher.burn(chip, flasher.regions(content), progress)
            if identity is not None:
                flasher.check_identity(chip, identity, flasher.read_table(chip))
        restarted(chip)
    if as_json:
        facts = {"port": chip.port, "mac": chip.mac, "chip": chip.name, "thing": identity.thing if identity else None}
        facts["certificate_id"] = identity.certificate_id if identity else None
        emit_json({**facts, **vars(outcome)})
        return
    who = f"{escape(identity.thing)}, certificate {identity.certificate_id}" if identity else "without an identity"
    out.print(f"{chip.mac} is {who}")
    out.print(told(outcome, baud))


def _identity(
    in_image: "DeviceIdentity | None", thing: str | None, place: Path | None, no_identity: bool
) -> "DeviceIdentity | None":
    from rootlet.errors import BadInput
    from rootlet.pki.identity import DeviceIdentity

    if in_image is not None:
        if thing is not None and thing != in_image.thing:
            raise BadInput(
                f"the image is of {in_image.thing}, not of {thing}", hint="choose the other image, or a golden one"
            )
        return in_image
    if no_identity:
        return None
    if place is None:
        raise BadInput("it is not said which device the board becomes", hint="name it: --thing NAME; or --no-identity")
    found = DeviceIdentity.load(place)
    if thing is not None and found.thing != thing:
        raise BadInput(f"{place} holds the identity of {found.thing}", hint="check the directory")
    return found
