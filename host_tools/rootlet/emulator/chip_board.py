"""An emulated chip: a whole flash, MicroPython's own binary included, booted by an emulator that the user installed."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rootlet.emulator.chip_emulator import ChipEmulator, Wiring
from rootlet.emulator.emulated_board import RESET, EmulatedBoard, flash_size, inherited_environment
from rootlet.emulator.qemu import Qemu
from rootlet.errors import RootletError
from rootlet.extras import require
from rootlet.processes import PARENT

VARIABLE = "ROOTLET_QEMU"
"""The environment variable that names an emulator, or the directory of several."""

ADAPTERS: tuple[type[ChipEmulator], ...] = (Qemu,)

MAX_PANICS = 10
"""So often in a row may a chip panic before its run is ended."""

_IN_A_ROW = 60  # seconds: who ran that long before it panicked begins a new row
_ROM = re.compile(r"rst:0x[0-9a-fA-F]+ \((\w+)\)")
_PANIC = re.compile(r"Guru Meditation Error|abort\(\) was called|^assert failed: |Stack smashing protect failure")
_CONSOLE = 30  # seconds in which the emulator opens the console


@dataclass(frozen=True)
class ChipSettings:
    """The chip, and what the world around it looks like.

    ``resolve`` is the network's DNS (host name to address), ``time_servers`` are the names of time servers that the
    network has, ``ports`` maps ports of 127.0.0.1 as the chip sees them to the real ones.
    """

    chip: str
    resolve: Mapping[str, str] = field(default_factory=dict)
    time_servers: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    mac: str = "24:0a:c4:00:00:01"
    snapshot: bool = False
    max_resets: int | None = None


def find_emulator(chip: str, where: Path | None = None) -> ChipEmulator:
    """Return an emulator of ``chip``: the one at ``where``, else at ``ROOTLET_QEMU``, else on PATH.

    Raises RootletError with the first adapter's reason where there is none.
    """
    if where is None and (named := os.environ.get(VARIABLE)):
        where = Path(named)
    refusals = []
    for adapter in ADAPTERS:
        try:
            return adapter.find(chip, where)
        except RootletError as refusal:
            refusals.append(refusal)
    raise refusals[0]


class ChipBoard(EmulatedBoard):
    """Boots ``image`` on an emulated chip. Its lines are those of the chip's first serial port, the ROM's included.

    A chip that resets goes on by itself; ``resets`` counts. It ends with ``RESET`` when it has used up ``max_resets``,
    with 1 when it panics ``MAX_PANICS`` times in a row, and else only with the emulator.
    """

    def __init__(
        self, image: Path, emulator: ChipEmulator, settings: ChipSettings, on_line: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(image, snapshot=settings.snapshot, on_line=on_line)
        self.settings = settings
        self._emulator = emulator
        self._command: list[str] = []
        self._inherited: tuple[int, ...] = ()
        self._booted = False
        self._panics = 0
        self._panicked = False
        self._boot_time = 0.0

    def _check(self) -> None:
        flash_size(self._image, self._emulator.flash_sizes)
        require("emulator", "the network around the chip")

    def _prepare(self, flash: Path) -> None:
        from rootlet.emulator.gateway import Gateway  # needs an optional dependency

        scratch = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-")))
        settings = self.settings
        gateway = self._cleanup.enter_context(Gateway(settings.resolve, settings.time_servers, settings.ports))
        self._listener = self._cleanup.enter_context(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(scratch / "console"))
        self._listener.listen(1)
        self._listener.settimeout(0.2)
        self._inherited = (gateway.chip, gateway.uplink)
        wiring = Wiring(flash, settings.mac, scratch / "console", gateway.chip, gateway.uplink, scratch)
        self._command = [sys.executable, "-m", "rootlet.emulator.chip_process", *self._emulator.command(wiring)]

    def _run(self, started: threading.Event) -> None:
        with subprocess.Popen(
            self._command,
            env=inherited_environment() | {PARENT: str(os.getpid())},
            pass_fds=self._inherited,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A terminal's Ctrl-C is for the command that owns the board; it then stops the board.
            start_new_session=True,
        ) as self._process:
            if self._unplugged.is_set():
                self._process.kill()
            started.set()
            assert self._process.stdout is not None
            words: list[str] = []
            reader = threading.Thread(target=words.extend, args=(self._process.stdout,), daemon=True)
            reader.start()
            self._read_console()
            if self.exit_code is not None:  # one of the limits
                self._process.kill()
                return
            self.exit_code = self._process.wait()
            reader.join()
            if self.exit_code > 0:
                for line in words:
                    self._note(f"emulator: {line.rstrip()}")

    def _read_console(self) -> None:
        """Note the chip's lines until the emulator or one of the limits ends the run."""
        assert self._process is not None
        deadline = time.monotonic() + _CONSOLE
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                console, _ = self._listener.accept()
                break
        else:
            return
        # Killed while a line is read, the emulator leaves a reset connection.
        with (
            contextlib.suppress(OSError),
            console,
            console.makefile("r", encoding="utf-8", errors="replace", newline="\n") as lines,
        ):
            for line in lines:
                if self._is_over(line):
                    return
                self._note(line.rstrip("\r\n"))

    def _is_over(self, line: str) -> bool:
        """Whether this line ends the run: the ROM's greeting after one reset or panic too many."""
        if _PANIC.search(line):
            self._panicked = True
        if not _ROM.search(line):
            return False
        now = time.monotonic()
        if not self._booted:
            self._booted, self._boot_time = True, now
            return False
        if self._panicked:
            self._panics = self._panics + 1 if now - self._boot_time < _IN_A_ROW else 1
        else:
            self._panics = 0
        self._panicked, self._boot_time = False, now
        if self._panics >= MAX_PANICS:
            self._note(f"chip emulator: {self._panics} panics in a row: ended")
            self.exit_code = 1
            return True
        if self.settings.max_resets is not None and self.resets >= self.settings.max_resets:
            self.exit_code = RESET
            return True
        self.resets += 1
        return False
