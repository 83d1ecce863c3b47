"""A running board's serial console."""

import time
from collections.abc import Iterator

import serial

from rootlet.errors import RootletError

RESET_SECONDS = 0.1
"""How long the reset line is held."""


def lines(port: str, baud: int, *, reset: bool = False, seconds: float | None = None) -> Iterator[str]:
    """The board's log. Ends where the port does, or after ``seconds``; raises RootletError where it cannot be opened."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        console = serial.serial_for_url(port, baud, timeout=0.1, do_not_open=True)
        console.dtr = console.rts = False  # opened with both lines released, the board goes on running
        with console:
            if reset:
                console.rts = True
                time.sleep(RESET_SECONDS)
                console.rts = False
            yield from _split(console, end)
    except (serial.SerialException, OSError) as error:
        raise RootletError(
            f"cannot read {port}: {error}", way_out="check the port; close any program that uses it"
        ) from None


def _split(console: serial.SerialBase, end: float | None) -> Iterator[str]:
    pending = b""
    while end is None or time.monotonic() < end:
        try:
            pending += console.read(4096)
        except serial.SerialException:  # unplugged, or the other end of a socket closed
            if pending:
                yield pending.decode(errors="replace")
            return
        *complete, pending = pending.split(b"\n")
        for line in complete:
            yield line.rstrip(b"\r").decode(errors="replace")
