"""``rootlet flash``: from a factory-fresh board to a provisioned device, in one command."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.board.connection import connected, cost, restarted
from rootlet.cli.board.options import port_options
from rootlet.cli.options import PATH, bare_option, json_option
from rootlet.cli.output import emit_json, out
from rootlet.cli.progress import transferred


@panels.command(
    epilog="""\b
Examples:
  rootlet flash golden.bin --thing sensor-1
  rootlet flash golden.bin --thing sensor-1 --port /dev/ttyUSB0 --json
  rootlet flash --identity-only --thing sensor-1 --port socket://127.0.0.1:5555
  rootlet flash --certificate devices/sensor-1/certificate.pem --port /dev/ttyUSB0
"""
)
@click.argument("image", required=False, type=PATH)
@click.option("--thing", help="The device's name; its identity is in the directory of that name under --devices.")
@click.option("--devices", default=Path("devices"), show_default=True, type=PATH, help="Identities.")
@click.option("--device", type=PATH, help="The identity's directory, in place of --thing and --devices.")
@click.option("--identity-only", is_flag=True, help="Write the credentials alone, to a board that carries the golden image.")
@click.option("--no-identity", is_flag=True, help="Write a golden image and leave the board without an identity.")
@click.option("--certificate", type=PATH, help="Bring a board the certificate of the key that it made (device csr).")
@click.option("--replace", is_flag=True, help="Overwrite the credentials on the board, whose key may exist nowhere else.")
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
    certificate: Path | None,
    replace: bool,
    bare: bool,
    port: str | None,
    baud: int,
    as_json: bool,
) -> None:
    """Write an image to a board and make it a device.

    The chip is detected and the wrong one refused; only what differs is written; every region is compared afterwards, and
    certificate and key are read back. Interrupted at any point, a second run completes.

    --certificate goes to the board's prompt, not to its ROM; the key stays on the board.
    """
    from rootlet.board import images, provision

    _check_one([image is not None, identity_only, certificate is not None])
    if certificate is not None:
        _bring(certificate, thing, port, as_json)
        return
    flash = images.load(image, bare=bare) if image else None
    place = device or (devices / thing if thing else None)
    identity = provision.choose_identity(flash, thing, place, none=no_identity)
    with connected(port, baud, flash.chip if flash else None) as chip:
        written = provision.provision(chip, flash, identity, transferred, replace=replace)
        restarted(chip)
    if as_json:
        facts = {"port": chip.port, "mac": chip.mac, "chip": chip.name, "thing": identity.thing if identity else None}
        facts["certificate_id"] = identity.certificate_id if identity else None
        emit_json({**facts, **vars(written)})
        return
    who = f"{escape(identity.thing)}, certificate {identity.certificate_id}" if identity else "without an identity"
    out.print(f"{chip.mac} is {who}")
    out.print(cost(written, baud))


def _check_one(given: list[bool]) -> None:
    from rootlet.errors import BadInput

    if given.count(True) != 1:
        raise BadInput("give one of IMAGE, --identity-only and --certificate", hint="see rootlet flash --help")


def _bring(path: Path, thing: str | None, port: str | None, as_json: bool) -> None:
    from rootlet.board import birth
    from rootlet.board.chip import find_port
    from rootlet.board.repl import Repl
    from rootlet.errors import BadInput
    from rootlet.pki.identity import common_name, load_certificates

    certificate = load_certificates(path)[0]
    if thing and common_name(certificate) != thing:
        raise BadInput(
            f"{path} is the certificate of {common_name(certificate)}, not of {thing}", hint="give the other file"
        )
    with Repl(port or find_port()) as board:
        facts = birth.bring(board, certificate)
        board.restart()
    if as_json:
        emit_json({"port": board.port, **facts})
        return
    out.print(f"{escape(board.port)} is {escape(facts['thing'])}, certificate {facts['certificate_id']}")
