"""What every command that talks to a board shares: its port, and how its progress is shown."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from rootlet.cli.options import baud_option
from rootlet.cli.output import err

if TYPE_CHECKING:
    from rootlet.board.chip import Chip
    from rootlet.board.flasher import WriteResult


def port_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--port`` and ``--baud``."""
    baud = baud_option(460_800)
    port = click.option(
        "--port", help="As esptool names it: /dev/ttyUSB0, COM3, socket://…, rfc2217://…. Found where there is just one."
    )
    return port(baud(command))


@contextlib.contextmanager
def connected(port: str | None, baud: int, chip: str | None = None) -> Iterator["Chip"]:
    """The chip on ``port``, in download mode."""
    from rootlet.board.chip import Chip, find_port

    with Chip(port or find_port(), chip=chip, baud=baud) as found:
        err.print(f"{found.name} {found.mac}, {found.flash_size >> 20} MiB of flash, on {found.port}")
        yield found


@contextlib.contextmanager
def shown(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of bytes of flash, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda size: bar.advance(task, size)


def told(outcome: "WriteResult", baud: int) -> str:
    """What a run cost, beside what the line would take for it at best."""
    limit = (outcome.sent + outcome.received) * 10 / baud
    changed = f"{outcome.written} of {outcome.total} bytes of flash differed" if outcome.written else "nothing differed"
    return (
        f"{changed}; {outcome.sent} bytes sent, {outcome.received} received in {outcome.seconds:.1f} s "
        f"(a line at {baud} baud needs {limit:.1f} s)"
    )


def restarted(chip: "Chip") -> None:
    """Boot the board, or say who must."""
    if not chip.restart():
        err.print("press the board's reset button: this port has no line to it")
