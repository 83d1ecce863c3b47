"""Which ports there are, and whether a board is at one."""

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
            raise BadInput(
                "which ports?", hint="name them (--port, repeatable, or a pattern in quotes), or give --all-ports"
            )
        self._patterns = patterns
        self._every = every

    def now(self) -> list[str]:
        """The ports that are there now; those named in full always are."""
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
    """What tells one plugging-in from the next: None where nothing is there, and another value after each time.

    A device file is made anew each time; of a socket all there is to see is that it accepts.
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
    """The MAC address of the chip that answers at a jig's port, which stays when its board goes; None for no answer."""
    try:
        with Chip(port, baud=baud, attempts=1) as chip:
            return chip.mac
    except RootletError:
        return None
