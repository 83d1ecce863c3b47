"""Finds serial ports, and boards at them."""

import glob
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from serial.tools import list_ports

from rootlet.board.chip import Chip
from rootlet.errors import BadInput, RootletError

_PROBE_SECONDS = 1.0


class Ports:
    """The ports of a station: named, by pattern as in a shell, or every USB serial port that appears."""

    def __init__(self, patterns: Sequence[str], *, every: bool = False) -> None:
        if not patterns and not every:
            raise BadInput("no port is given", hint="give --port (repeatable, or a pattern in quotes) or --all-ports")
        self._patterns = patterns
        self._every = every

    def now(self) -> list[str]:
        """The ports that exist now, and all ports without a pattern."""
        found: dict[str, None] = {}
        for pattern in self._patterns:
            if "://" not in pattern and glob.has_magic(pattern):
                found.update(dict.fromkeys(sorted(glob.glob(pattern))))  # noqa: PTH207 - an absolute pattern, as typed
            else:
                found[pattern] = None
        if self._every:
            found.update(dict.fromkeys(sorted(port.device for port in list_ports.comports() if port.vid is not None)))
        return list(found)


def presence(port: str) -> object:
    """A value that changes each time a device is plugged in; None where there is none.

    A device file is created anew each time; a socket only shows whether it accepts connections.
    """
    address = urlsplit(port)
    if address.scheme in ("socket", "rfc2217"):
        try:
            socket.create_connection((address.hostname or "", address.port or 0), _PROBE_SECONDS).close()
        except OSError:
            return None
        return True
    try:
        found = Path(port).stat()
    except OSError:
        return None
    return found.st_ino, found.st_rdev, found.st_ctime_ns if stat.S_ISCHR(found.st_mode) else 0


def mac_at(port: str, baud: int) -> str | None:
    """The MAC address of the chip at a jig's port, which exists without a board, too; None for no answer."""
    try:
        with Chip(port, baud=baud, attempts=1, even_encrypted=True) as chip:
            return chip.mac
    except RootletError:
        return None
