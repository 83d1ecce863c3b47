"""A virtual board: a flash file, booted by MicroPython's Unix port as an ESP32 would boot it."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.emulator import c_heap
from rootlet.emulator.emulated_board import RESET, EmulatedBoard, flash_size, inherited_environment
from rootlet.emulator.frozen import frozen_directory
from rootlet.emulator.watchdog import Watchdog
from rootlet.errors import BadInput
from rootlet.extras import require
from rootlet.processes import PARENT

DEFAULT_HEAP = "176K"
"""MicroPython's heap: 43 KiB for what stands for the chip; the rest is the device's, 1.5 times a chip's."""

DEFAULT_MAC = "24:0a:c4:00:00:01"
SLEEP = 4
"""The exit code of a board in deep sleep (``machine.deepsleep()``)."""

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


class VirtualBoard(EmulatedBoard):
    """Boots ``image`` under MicroPython's Unix port. The board writes to ``image``, unless ``snapshot`` is set."""

    def __init__(self, image: Path, settings: BoardSettings | None = None, on_line: Callable[[str], None] | None = None):
        self.settings = settings or BoardSettings()
        super().__init__(image, snapshot=self.settings.snapshot, on_line=on_line)
        self._world: dict[str, Any] = {}
        self._bitten = False

    def _check(self) -> None:
        check(self._image)

    def _prepare(self, flash: Path) -> None:
        self._world = describe_world(flash, self.settings)

    def _run(self, started: threading.Event) -> None:
        world = self._world
        world["reset_cause"] = "power-on"
        while not self._unplugged.is_set():
            for line in self._boot_once(world, started):
                self._note(line)
            if self.exit_code == SLEEP and self._sleep(world):
                continue
            limit = self.settings.max_resets
            if not (self.exit_code == RESET or self._bitten) or (limit is not None and self.resets >= limit):
                break
            self.resets += 1
            world["reset_cause"] = "watchdog" if self._bitten else "reset"

    def _sleep(self, world: dict[str, Any]) -> bool:
        """Wait as long as the board sleeps; whether it wakes up. Its own clock goes on, wrong by ``sleep_drift``."""
        asleep = re.search(r"asleep for (\d+) ms, the clock says (-?\d+)", self.lines[-1]) if self.lines else None
        if asleep is None:
            return False
        seconds = int(asleep[1]) / 1000
        if not seconds or self._unplugged.wait(seconds / world.get("sleep_speed", world.get("speed", 1))):
            return False
        if "clock" in world:
            world["clock"] = int(asleep[2]) + seconds * (1 + world.get("sleep_drift", 0))
        world["reset_cause"] = "deep-sleep"
        return True

    def _bite(self, timeout: float) -> None:
        self._note(f"virtual board: the watchdog was not fed for {timeout:g} s: reset")
        self._bitten = True
        if self._process is not None:
            self._process.kill()

    def _boot_once(self, world: dict[str, Any], started: threading.Event) -> Iterator[str]:
        self._bitten = False
        watchdog = Watchdog(self._bite)
        with (
            watchdog,
            launch({**world, "watchdog": watchdog.path}, self.settings.heapsize, watchdog.fd) as self._process,
        ):
            if self._unplugged.is_set():
                self._process.kill()
            started.set()
            assert self._process.stdout is not None
            for line in self._process.stdout:
                yield line.rstrip("\r\n")
            self.exit_code = self._process.wait()


def describe_world(flash: Path, settings: BoardSettings) -> dict[str, Any]:
    """What the shims are told of the world around the chip, but for this boot's ``reset_cause`` and ``watchdog``."""
    return {
        "flash": str(flash),
        "frozen": str(frozen_directory()),
        "mac": settings.mac,
        "resolve": dict(settings.resolve),
        "c_heap": c_heap.figures(),
        **settings.extra,
    }


def launch(world: dict[str, Any], heapsize: str, *kept: int) -> subprocess.Popen[str]:
    """One boot: the Unix port on the shims, its console on ``stdout``. It inherits the file descriptors ``kept``."""
    boot = resources.SHIMS / "boot.py"
    return subprocess.Popen(
        [sys.executable, "-m", "rootlet.emulator.unix_port", "-X", f"heapsize={heapsize}", str(boot)],
        env=inherited_environment() | {PARENT: str(os.getpid()), "ROOTLET_VIRTUAL_BOARD": json.dumps(world)},
        pass_fds=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # A terminal's Ctrl-C is for the command that owns the board; it then stops the board.
        start_new_session=True,
    )


def parse_resolve(text: str) -> tuple[str, str]:
    """Read ``HOST:ADDRESS`` (the address may be IPv6). Raises BadInput."""
    host, colon, address = text.partition(":")
    if not (host and colon and address):
        raise BadInput(f"--resolve {text}: not of the form HOST:ADDRESS", hint="for example device.example:127.0.0.1")
    return host, address


def check(image: Path) -> None:
    """Raises BadInput for an image that no board could hold, RootletError without the extra ``emulator``."""
    flash_size(image, FLASH_SIZES)
    require("emulator", "the virtual board")
