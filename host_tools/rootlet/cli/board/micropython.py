"""``rootlet micropython``: the MicroPython that a board runs."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import PATH, board_option, flash_size_option, output_option
from rootlet.cli.output import out


@panels.group(name="micropython")
def command() -> None:
    """Fetch and check MicroPython's own builds."""


@command.command(
    epilog="""\b
Examples:
  rootlet micropython fetch esp32_generic --sha256 0123…
  rootlet micropython fetch esp32_generic_s3 -o micropython.bin --sha256 0123…
"""
)
@click.argument("board")
@click.option("--sha256", metavar="HEX", help="The file's digest, where the board's definition does not pin it.")
@output_option("Write to this file. [default: its own name, here]")
def fetch(board: str, sha256: str | None, output: Path | None) -> None:
    """Download the release that BOARD's definition names. A file with another digest, chip or version is not written."""
    from rootlet.board import releases
    from rootlet.board.definition import load_board
    from rootlet.files import write_atomic

    wanted = load_board(board)
    data = releases.fetch(wanted, sha256)
    path = output or Path(wanted.micropython.file)
    write_atomic(path, data)
    out.print(f"{escape(str(path))}: {len(data)} bytes, MicroPython {wanted.micropython.version} for {board}")


@command.command(
    epilog="""\b
Examples:
  rootlet micropython check ESP32_GENERIC-20260824-v1.29.0.bin --board esp32_generic
"""
)
@click.argument("path", metavar="FILE", type=PATH)
@board_option(default="esp32_generic", show_default=True)
@flash_size_option
def check(path: Path, board: str, flash_size: int | None) -> None:
    """Check whether a MicroPython .bin can run leaf on a board.

    Exits with 2 and the reason where it cannot.
    """
    from rootlet.board import micropython
    from rootlet.board.definition import load_board
    from rootlet.files import read_input

    found = micropython.read(read_input(path, "MicroPython firmware"))
    names = ", ".join(name for name in (found.build, found.machine) if name) or "an unnamed build"
    out.print(f"MicroPython {escape(str(found.text))}, {escape(names)}, for {found.chip}")
    definition = load_board(board)
    micropython.check(found, definition.with_flash(flash_size << 20) if flash_size else definition)
    out.print(f"fits {board}")
