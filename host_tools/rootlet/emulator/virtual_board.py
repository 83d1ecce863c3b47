"""A virtual board: a flash file, booted by MicroPython's Unix port as an ESP32 would boot it."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rootlet import resources
from rootlet.emulator import c_heap
from rootlet.emulator.frozen import frozen_directory
from rootlet.emulator.watchdog import Watchdog
from rootlet.errors import BadInput, RootletError
from rootlet.extras import require
from rootlet.processes import PARENT

_INHERITED = ("PYTHON", "VIRTUAL_ENV", "PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_", "TZ")

RESET = 3
"""The exit code of a board that asked for a reset (``machine.reset()``): it is started again."""

DEFAULT_HEAP = "176K"
"""MicroPython's heap: 43 KiB for what stands for the chip; the rest is the device's, 1.5 times a chip's."""

DEFAULT_MAC = "24:0a:c4:00:00:01"
FLASH_SIZES = tuple(mebibytes << 20 for mebibytes in (2, 4, 8, 16, 32))


@dataclass(frozen=True)
class BoardSettings:
    """What the world around the chip looks like.

    ``resolve`` is the network's DNS (host name to address); ``extra`` goes to the shims as it is (faults for tests).
    """

    resolve: Mapping[str, str] = field(default_factory=dict)
    heapsize: str = DEFAULT_HEAP
    mac: str = DEFAULT_MAC
    snapshot: bool = False
    max_resets: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class VirtualBoard:
    """Boots ``image`` on entering the context and stops the board on leaving it.

    The board writes to ``image`` as a chip writes to its flash, unless ``snapshot`` is set: then to a copy.
    Every line that the board prints is kept in ``lines`` and given to ``on_line``.
    """

    def __init__(self, image: Path, settings: BoardSettings | None = None, on_line: Callable[[str], None] | None = None):
        self.settings = settings or BoardSettings()
        self.lines: list[str] = []
        self.resets = 0
        self.exit_code: int | None = None
        self._image = image
        self._on_line = on_line
        self._news = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._stopping = False
        self._cleanup = contextlib.ExitStack()
        self._ended = threading.Event()
        self._reader: threading.Thread | None = None
        self._bitten = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def ended(self, within: float = 0) -> bool:
        """Whether the board has ended, or does so within that many seconds, by itself or because its plug was pulled."""
        return self._ended.wait(within)

    def start(self) -> None:
        """Boot the board. Raises BadInput for an image that no board could hold."""
        check(self._image)
        flash = self._snapshot() if self.settings.snapshot else self._image.resolve()
        self._lock(flash)
        world = {
            "flash": str(flash),
            "frozen": str(frozen_directory()),
            "mac": self.settings.mac,
            "resolve": dict(self.settings.resolve),
            "c_heap": c_heap.figures(),
            **self.settings.extra,
        }
        # A thread of its own starts the Unix port and starts it again after a reset: the kernel ends a board whose
        # starting thread is gone, and this one lives exactly as long as the board should.
        started = threading.Event()
        self._reader = threading.Thread(target=self._run, args=(world, started), daemon=True)
        self._reader.start()
        started.wait()

    def stop(self, timeout: float = 5) -> None:
        """Pull the plug. Waits up to ``timeout`` seconds for the process to be gone."""
        self._stopping = True
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
                f"{flash} is the flash of a virtual board that is running",
                hint="stop that one first, or boot a copy with --snapshot",
            ) from None

    def _run(self, world: dict[str, Any], started: threading.Event) -> None:
        boot = resources.SHIMS / "boot.py"
        heap = ["-X", f"heapsize={self.settings.heapsize}"]
        command = [sys.executable, "-m", "rootlet.emulator.unix_port", *heap, str(boot)]
        world["reset_cause"] = "power-on"
        try:
            while not self._stopping:
                for line in self._boot_once(command, world, started):
                    self._note(line)
                limit = self.settings.max_resets
                if not (self.exit_code == RESET or self._bitten) or (limit is not None and self.resets >= limit):
                    break
                self.resets += 1
                world["reset_cause"] = "watchdog" if self._bitten else "reset"
        finally:
            started.set()
            self._ended.set()
            with self._news:
                self._news.notify_all()

    def _bite(self, timeout: float) -> None:
        self._note(f"virtual board: the watchdog was not fed for {timeout:g} s: reset")
        self._bitten = True
        if self._process is not None:
            self._process.kill()

    def _boot_once(self, command: list[str], world: dict[str, Any], started: threading.Event) -> Iterator[str]:
        self._bitten = False
        watchdog = Watchdog(self._bite)
        with (
            watchdog,
            subprocess.Popen(
                command,
                env=_environment({**world, "watchdog": watchdog.path}),
                pass_fds=[watchdog.fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A terminal's Ctrl-C is for the command that owns the board; it then stops the board.
                start_new_session=True,
            ) as self._process,
        ):
            if self._stopping:
                self._process.kill()
            started.set()
            assert self._process.stdout is not None
            for line in self._process.stdout:
                yield line.rstrip("\r\n")
            self.exit_code = self._process.wait()

    def _note(self, line: str) -> None:
        with self._news:
            self.lines.append(line)
            self._news.notify_all()
        if self._on_line:
            self._on_line(line)


def _environment(world: dict[str, Any]) -> dict[str, str]:
    # What the host's Python needs to start, and nothing more: passphrases and cloud credentials live in environments too.
    inherited = {key: value for key, value in os.environ.items() if key.startswith(_INHERITED)}
    return inherited | {PARENT: str(os.getpid()), "ROOTLET_VIRTUAL_BOARD": json.dumps(world)}


def parse_resolve(text: str) -> tuple[str, str]:
    """Read ``HOST:ADDRESS`` (the address may be IPv6). Raises BadInput."""
    host, colon, address = text.partition(":")
    if not (host and colon and address):
        raise BadInput(f"--resolve {text}: not of the form HOST:ADDRESS", hint="for example device.example:127.0.0.1")
    return host, address


def check(image: Path) -> None:
    """Raises BadInput for an image that no board could hold, RootletError without the extra ``emulator``."""
    try:
        size = image.stat().st_size
    except OSError as error:
        raise BadInput(f"{image}: {error.strerror}", hint="build one: rootlet image build --help") from None
    if size not in FLASH_SIZES:
        sizes = ", ".join(f"{size >> 20}" for size in FLASH_SIZES)
        raise BadInput(
            f"{image} is {size} bytes long, which is no flash size ({sizes} MiB)",
            hint="give a whole flash image, as rootlet image build writes it",
        )
    require("emulator", "the virtual board")
