"""How a command reaches the board on a port, and what it says about it."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rootlet.cli.output import err

if TYPE_CHECKING:
    from rootlet.board.chip import Chip
    from rootlet.board.flasher import WriteResult


@contextlib.contextmanager
def connected(port: str | None, baud: int, chip: str | None = None, *, even_encrypted: bool = False) -> Iterator["Chip"]:
    """The chip on ``port``, in download mode."""
    from rootlet.board.chip import Chip, find_port

    with Chip(port or find_port(), chip=chip, baud=baud, even_encrypted=even_encrypted) as found:
        err.print(f"{found.name} {found.mac}, {found.flash_size >> 20} MiB of flash, on {found.port}")
        yield found


def restarted(chip: "Chip") -> None:
    """Boot the board, or say who must."""
    if not chip.restart():
        err.print("press the board's reset button: this port cannot reset it")


def cost(result: "WriteResult", baud: int) -> str:
    """What a run sent and received, beside the least time that the line takes for it."""
    limit = (result.sent + result.received) * 10 / baud
    changed = f"{result.written} of {result.total} bytes of flash differed" if result.written else "nothing differed"
    return (
        f"{changed}; {result.sent} bytes sent, {result.received} received in {result.seconds:.1f} s "
        f"(a line at {baud} baud needs {limit:.1f} s)"
    )
