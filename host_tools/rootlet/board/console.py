"""A running board's serial console."""

import time
import urllib.parse
from collections.abc import Callable, Iterator

import serial

from rootlet.errors import BadInput, RootletError

NETWORK = ("socket", "rfc2217")
"""Schemes of ports on another machine, as SCHEME://HOST:PORT."""

RESET_SECONDS = 0.1
"""How long the reset line is held."""
POLL_SECONDS = 0.1
"""How long a read waits for more."""


def check_port(port: str) -> None:
    """Raise BadInput for what cannot name a serial port: a URL that pyserial does not know, or one without its parts."""
    scheme, separator, _ = port.partition("://")
    if not separator:
        return
    try:
        serial.serial_for_url(port, do_not_open=True)
        parts = urllib.parse.urlsplit(port)
        whole = scheme not in NETWORK or (parts.hostname and parts.port)
    except (ValueError, serial.SerialException):
        whole = False
    if not whole:
        raise BadInput(
            f"--port {port}: it does not name a serial port",
            hint="for example /dev/ttyUSB0, COM3, socket://HOST:PORT or rfc2217://HOST:PORT",
        )


def lines(
    port: str,
    baud: int,
    *,
    reset: bool = False,
    seconds: float | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> Iterator[str]:
    """The board's log. Ends where the port does, after ``seconds``, or when ``ended`` says so.

    Raises RootletError where it cannot be opened, or reset.
    """
    end = None if seconds is None else time.monotonic() + seconds
    try:
        with opened(port, baud) as console:
            if reset:
                reset_board(console)
            yield from split(console, ended=lambda: ended() or (end is not None and time.monotonic() >= end))
    except (serial.SerialException, OSError, ValueError) as error:
        raise RootletError(f"cannot read {port}: {error}", hint="check the port; close any program that uses it") from None


def opened(port: str, baud: int) -> serial.SerialBase:
    """The port, which is opened when it is entered as a context. The board goes on running. Raises what pyserial does."""
    console = serial.serial_for_url(port, baud, timeout=POLL_SECONDS, do_not_open=True)
    console.dtr = console.rts = False  # both lines released
    return console


def reset_board(console: serial.SerialBase) -> None:
    """Reset the board by the line that holds it in reset. Raises OSError where the port has none."""
    console.rts = True
    time.sleep(RESET_SECONDS)
    console.rts = False


def split(console: serial.SerialBase, pending: bytes = b"", ended: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """The lines that come from an open port, after what has already come of one."""
    console.timeout = POLL_SECONDS
    while not ended():
        try:
            pending += console.read(4096)
        except (serial.SerialException, OSError):  # unplugged, or the other end of a socket closed
            if pending:
                yield pending.decode(errors="replace")
            return
        *complete, pending = pending.split(b"\n")
        for line in complete:
            yield line.rstrip(b"\r").decode(errors="replace")
