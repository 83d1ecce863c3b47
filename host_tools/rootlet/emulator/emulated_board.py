"""What all emulated boards share: a flash file that is booted, a console that is read, a plug that is pulled."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rootlet.errors import BadInput, RootletError

_INHERITED = ("PYTHON", "VIRTUAL_ENV", "PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_", "TZ")

RESET = 3
"""The exit code of a board that asked for a reset (``machine.reset()``) and is not to be started again."""


class EmulatedBoard(ABC):
    """Boots ``image`` on entering the context and stops the board on leaving it.

    The board writes to ``image`` as a chip writes to its flash, or to a copy where ``snapshot`` is set.
    Every line that the board prints is kept in ``lines`` and given to ``on_line``.
    """

    def __init__(self, image: Path, *, snapshot: bool, on_line: Callable[[str], None] | None) -> None:
        self.lines: list[str] = []
        self.resets = 0
        self.exit_code: int | None = None
        self._image = image
        self._takes_snapshot = snapshot
        self._on_line = on_line
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._unplugged = threading.Event()
        self._cleanup = contextlib.ExitStack()
        self._ended = threading.Event()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self, flash: Path) -> None:
        """Do what must be done before the board's thread starts; what it opens goes into ``_cleanup``."""

    @abstractmethod
    def _run(self, started: threading.Event) -> None:
        """Boot the board and read its console until it ends; set ``started`` once there is a process to kill."""

    @abstractmethod
    def _check(self) -> None:
        """Raise for an image that this board cannot boot."""

    def ended(self, within: float = 0) -> bool:
        """Whether the board has ended, or does so within that many seconds, by itself or because its plug was pulled."""
        return self._ended.wait(within)

    def start(self) -> None:
        """Boot the board. Raises BadInput for an image that it cannot boot."""
        self._check()
        try:
            flash = self._snapshot() if self._takes_snapshot else self._image.resolve()
            self._lock(flash)
            self._prepare(flash)
        except BaseException:
            self._cleanup.close()
            raise
        # A thread of its own starts the board's process and starts it again after a reset: the kernel ends a process whose
        # starting thread is gone, and this one lives exactly as long as the board should.
        started = threading.Event()
        self._reader = threading.Thread(target=self._run_to_the_end, args=(started,), daemon=True)
        self._reader.start()
        started.wait()

    def stop(self, timeout: float = 5) -> None:
        """Pull the plug. Waits up to ``timeout`` seconds for the process to be gone."""
        self._unplugged.set()
        if self._process is not None:
            self._process.kill()
        self._ended.wait(timeout)
        self._cleanup.close()

    def wait_for(self, pattern: str, timeout: float = 30, *, since: int = 0) -> re.Match[str]:
        """Wait up to ``timeout`` seconds for a line, from index ``since`` on, that matches ``pattern``.

        Raises RootletError with the board's last lines when the board ends or the time is up first.
        """
        seen, deadline = since, time.monotonic() + timeout
        with self._news:
            while True:
                while seen < len(self.lines):
                    if match := re.search(pattern, self.lines[seen]):
                        return match
                    seen += 1
                left = deadline - time.monotonic()
                if self._ended.is_set() or left <= 0:
                    why = f"the board ended (exit {self.exit_code})" if self._ended.is_set() else f"{timeout:g} s passed"
                    last = "\n  ".join(self.lines[-12:]) or "(nothing)"
                    raise RootletError(
                        f"{why} without a line like {pattern!r}; its last lines:\n  {last}", hint="see the board's log"
                    )
                self._news.wait(left)

    def wait(self) -> int:
        """Wait until the board ends by itself; return its exit code."""
        # Short waits keep Ctrl-C alive on the main thread.
        while not self._ended.wait(0.2):
            pass
        return self.exit_code or 0

    def _run_to_the_end(self, started: threading.Event) -> None:
        try:
            self._run(started)
        finally:
            started.set()
            self._ended.set()
            with self._news:
                self._news.notify_all()

    def _snapshot(self) -> Path:
        directory = self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-"))
        copy = Path(directory, "flash.bin")
        shutil.copyfile(self._image, copy)
        copy.chmod(0o600)
        return copy

    def _lock(self, flash: Path) -> None:
        stream = self._cleanup.enter_context(flash.open("rb"))
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"{flash} is the flash of an emulated board that is running",
                hint="stop that one first, or boot a copy with --snapshot",
            ) from None

    def _note(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()
        if self._on_line:
            self._on_line(line)


def inherited_environment() -> dict[str, str]:
    """What a program needs of this environment to start: passphrases and cloud credentials live in environments too."""
    return {key: value for key, value in os.environ.items() if key.startswith(_INHERITED)}


def flash_size(image: Path, sizes: tuple[int, ...]) -> int:
    """The size of the image in bytes. Raises BadInput where it is not one of ``sizes``."""
    try:
        size = image.stat().st_size
    except OSError as error:
        raise BadInput(f"{image}: {error.strerror}", hint="build one: rootlet image build --help") from None
    if size not in sizes:
        listed = ", ".join(f"{size >> 20}" for size in sizes)
        raise BadInput(
            f"{image} is {size} bytes long, which is not a flash size ({listed} MiB)",
            hint="give a whole flash image, as rootlet image build writes it",
        )
    return size
