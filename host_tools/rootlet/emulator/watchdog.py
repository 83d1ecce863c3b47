"""The hardware watchdog of a virtual board: it bites when the board stops feeding it."""

import os
import select
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Watchdog:
    """Listens on a pipe: each line that the board writes is a feeding, and says the timeout in milliseconds.

    Once fed it cannot be stopped, as on a chip. ``bite`` is called, from another thread, with the timeout in seconds.
    """

    def __init__(self, bite: Callable[[float], None]) -> None:
        self._read, self.fd = os.pipe()
        self._bite = bite
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def path(self) -> str:
        """Where the board opens its end of the pipe."""
        return f"/proc/self/fd/{self.fd}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.fd)  # the last writer: the thread sees the end of the pipe
        self._thread.join()
        os.close(self._read)

    def _watch(self) -> None:
        timeout: float | None = None
        while True:
            ready, _, _ = select.select([self._read], [], [], timeout)
            if not ready:
                assert timeout is not None
                self._bite(timeout)
                timeout = None  # the board is gone; only the end of the pipe is left to see
                continue
            data = os.read(self._read, 4096)
            if not data:
                return
            timeout = int(data.split()[-1]) / 1000
