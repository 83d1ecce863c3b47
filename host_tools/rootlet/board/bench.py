"""A self-report of a board that runs ``leaf``: it is reset, its console is read up to the first PUBACK, then it is asked.

A board is asked at its prompt, so its application is stopped each time; in the end it is started again. A Ctrl-C proves a
boot (``leaf/start.py``), so no number of runs leads into the safe mode.
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import serial

from rootlet.board import bench_report, console
from rootlet.board.bench_report import Boot
from rootlet.board.definition import load_board
from rootlet.board.repl import Repl
from rootlet.errors import BadInput, RootletError

BOOT = 20
"""Seconds in which a board that was reset says who it is."""

_ASK = """
import gc, json, machine, os, sys
gc.collect()
try:
    with open("/build.json") as stream:
        build = json.load(stream)
except OSError:
    build = {}
answer = {"platform": sys.platform, "machine": sys.implementation._machine, "micropython": sys.version.split("; ")[-1]}
for key in ("board", "code", "leaf_frozen"):
    answer[key] = build.get(key)
try:
    import leaf
    answer["leaf"] = leaf.__version__
except Exception:
    answer["leaf"] = None
answer["reset_cause"] = str(machine.reset_cause())
for name in ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"):
    if getattr(machine, name + "_RESET", None) == machine.reset_cause():
        answer["reset_cause"] = name.lower()
import esp32
heap = {"total": 0, "free": 0, "largest": 0, "lowest": 0}
for total, free, largest, lowest in esp32.idf_heap_info(esp32.HEAP_DATA):
    heap["total"] += total
    heap["free"] += free
    heap["largest"] = max(heap["largest"], largest)
    heap["lowest"] += lowest
answer["c_heap"] = heap if heap["total"] else None
answer["flash_operations"] = esp32.flash_operations() if hasattr(esp32, "flash_operations") else None
try:
    import esp
    answer["flash_bytes"] = esp.flash_size()
except ImportError:
    found = [p.info() for kind in (0, 1, 0x3F) for p in esp32.Partition.find(kind)]
    answer["flash_bytes"] = max(info[2] + info[3] for info in found)
    if not [info for info in found if info[4] == "vfs"]:
        sizes = os.statvfs("/")
        answer["flash_bytes"] += sizes[1] * sizes[2]
answer["word"] = 8 if sys.maxsize > 1 << 31 else 4
print(json.dumps(answer))
"""
_MEMORY = "import gc, micropython\ngc.collect()\nmicropython.mem_info()"
_LARGEST = re.compile(rb"max free sz: (\d+)")
_WORDS_IN_A_BLOCK = 4  # MicroPython's py/gc.h


_Heard = Generator[tuple[float | None, str], None, None]  # seconds since the reset was released, where known; the line


class Bench:
    """The board on ``port``, for as many runs as are wanted. ``timeout`` in seconds is what one may take to its PUBACK.

    It is reset by the port's RTS line; where that does not reset it, by a soft reset at its prompt.
    """

    def __init__(self, port: str, baud: int, timeout: float, on_line: Callable[[str], None] = lambda _: None) -> None:
        self._port, self._baud, self._timeout = port, baud, timeout
        self._on_line = on_line
        self._by_line = True

    def measure(self, runs: int) -> dict[str, Any]:
        """The report of so many runs. The board runs its application again afterwards, whatever happened.

        Raises RootletError where the board does not run ``leaf``, or cannot be talked to.
        """
        done = []
        asked: dict[str, Any] = {}
        with self._left_running():
            for _ in range(runs):
                boot = self._boot()
                asked = self._ask()
                done.append(bench_report.run(boot, asked))
        return bench_report.report(done, asked, self._chip(asked["board"]), "line" if self._by_line else "soft")

    def _boot(self) -> Boot:
        if self._by_line:
            boot = self._read(self._after_line_reset)
            self._by_line = boot.started
        if not self._by_line:
            boot = self._read(self._after_soft_reset)
        if not boot.started:
            raise RootletError(
                f"the board on {self._port} does not start leaf within {BOOT} s",
                hint=f"see what it says: rootlet monitor --port {self._port}",
            )
        return boot

    def _read(self, lines: Callable[[Callable[[], bool]], _Heard]) -> Boot:
        boot, began = Boot(), time.monotonic()

        def ended() -> bool:
            return time.monotonic() - began > (self._timeout if boot.started else BOOT)

        with contextlib.closing(lines(ended)) as heard:  # the port is free again before the board is asked
            for since_reset, line in heard:
                self._on_line(line)
                boot.take(line, since_reset)
                if boot.connected:
                    break
        return boot

    def _after_line_reset(self, ended: Callable[[], bool]) -> _Heard:
        try:
            with console.opened(self._port, self._baud) as line:
                try:
                    console.reset_board(line)
                except OSError:
                    return  # a port without such a line
                released = time.monotonic()
                for text in console.split(line, ended=ended):
                    yield time.monotonic() - released, text
        except (serial.SerialException, OSError, ValueError) as error:
            raise RootletError(
                f"cannot read {self._port}: {error}", hint="check the port; close any program that uses it"
            ) from None

    def _after_soft_reset(self, ended: Callable[[], bool]) -> _Heard:
        with Repl(self._port, self._baud) as board:
            board.restart()
            for text in board.lines(ended):
                yield None, text

    def _ask(self) -> dict[str, Any]:
        with Repl(self._port, self._baud) as board:
            answer: dict[str, Any] = json.loads(board.execute(_ASK))
            free = _LARGEST.search(board.execute(_MEMORY))
        block = answer.pop("word") * _WORDS_IN_A_BLOCK
        return answer | {"gc_largest_free": int(free.group(1)) * block if free else None}

    @staticmethod
    def _chip(board: str | None) -> str | None:
        try:
            return load_board(board).chip if board else None
        except BadInput:  # a board that this machine has no definition of
            return None

    @contextlib.contextmanager
    def _left_running(self) -> Iterator[None]:
        try:
            yield
        except RootletError:
            with contextlib.suppress(RootletError):  # what was wrong first is what counts
                self._restart()
            raise
        except BaseException:
            self._restart()
            raise
        self._restart()

    def _restart(self) -> None:
        try:
            with Repl(self._port, self._baud) as board:
                board.restart()
        except RootletError as error:
            what = f"the board on {self._port} may have stopped at its prompt: {error.what}"
            raise RootletError(what, hint="reset the board") from error
