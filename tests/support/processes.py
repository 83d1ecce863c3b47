"""Whether processes are gone."""

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path


def alive(pid: int) -> bool:
    """A zombie that nobody has reaped yet is dead."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] != "Z"
    return False


def survivors(pids: Iterable[int], timeout: float = 10) -> list[int]:
    """Those that still live when ``timeout`` seconds are over; returns as soon as there is none."""
    deadline = time.monotonic() + timeout
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
