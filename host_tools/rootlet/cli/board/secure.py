"""``rootlet secure``: plan and burn what protects the key at rest."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import PATH, SERIAL_PORT, confirm_option, json_option, own_build_option, signing_key_option
from rootlet.cli.output import emit_json, err, out

if TYPE_CHECKING:
    from rootlet.board.efuses import BurnPlan, BurnStep, Feature

_FEATURES = click.Choice(["flash-encryption", "secure-boot", "ds"])
_CHIPS = click.Choice(["esp32", "esp32s3", "esp32c3", "esp32c6"])


@panels.group(name="secure")
def command() -> None:
    """Plan and burn the eFuses that protect a board.

    They are for flash encryption, secure boot v2 and the DS peripheral.
    Nothing that is burned can be undone. MicroPython's own builds support none of the three.
    """


@command.command(
    epilog="""\b
Examples:
  rootlet secure plan flash-encryption --chip esp32s3
  rootlet secure plan flash-encryption secure-boot --chip esp32 --json
"""
)
@click.argument("features", nargs=-1, required=True, type=_FEATURES)
@click.option("--chip", required=True, type=_CHIPS, help="The type of the chip.")
@json_option
def plan(features: tuple["Feature", ...], chip: str, as_json: bool) -> None:
    """List the eFuses that a plan burns, in order.

    It says which of them cannot be undone. Nothing is burned.
    """
    from dataclasses import asdict

    from rootlet.board import efuses

    made = efuses.plan(chip, features)
    if as_json:
        emit_json(asdict(made))
    else:
        _show(made)


@command.command(
    epilog="""\b
Examples:
  rootlet secure apply flash-encryption --chip esp32s3 --virtual fuses.bin \\
      --confirm 00:00:00:00:00:00 --own-build              # a rehearsal, on a file
  rootlet secure apply secure-boot --chip esp32s3 --port /dev/ttyUSB0 \\
      --signing-key signing.pem --confirm 24:0a:c4:12:34:56 --own-build
"""
)
@click.argument("features", nargs=-1, required=True, type=_FEATURES)
@click.option("--chip", required=True, type=_CHIPS, help="The type of the chip.")
@click.option("--port", type=SERIAL_PORT, help="As esptool names it.")
@click.option("--virtual", type=PATH, help="Rehearse on a file that stands for the chip's eFuses.")
@confirm_option
@own_build_option
@signing_key_option
@click.option(
    "--records",
    default=Path("secure"),
    show_default=True,
    type=PATH,
    help="Where keys and plan are kept.",
)
def apply(
    features: tuple["Feature", ...],
    chip: str,
    port: str | None,
    virtual: Path | None,
    confirm: str,
    own_build: bool,
    signing_key: Path | None,
    records: Path,
) -> None:
    """Burn the eFuses of a plan. This cannot be undone.

    The plan is shown first, and the chip must be confirmed by its MAC address.
    """
    from rootlet.board import efuses
    from rootlet.board.chip import find_port

    made = efuses.plan(chip, features)
    _show(made)
    fuses = efuses.Fuses(port=None if virtual else port or find_port(), chip=chip, virtual=virtual)

    def burned(step: "BurnStep", now: bool) -> None:
        out.print(f"{'burned' if now else 'already burned'}  {escape(step.target)}")

    kept = efuses.apply(
        fuses, made, confirm=confirm, own_build=own_build, records=records, signing_key=signing_key, on_step=burned
    )
    err.print(f"the record and the keys are in {escape(str(kept))}: keep them safe: they cannot be read from the chip")


def _show(made: "BurnPlan") -> None:
    for number, step in enumerate(made.steps, 1):
        out.print(f"{number:>2}  {step.action:<6} {step.target:<28} {step.value:<28} {escape(step.undone)}")
    for warning in made.warnings:
        err.print(f"[bold yellow]note:[/] {escape(warning)}")
