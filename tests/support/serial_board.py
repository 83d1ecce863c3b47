"""A virtual board at the end of a serial line, for what talks to a board's console: the Unix port, booted from an image."""

import contextlib
import fcntl
import json
import os
import pty
import select
import socket
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import serial
import serial.rfc2217
from rootlet import resources
from rootlet.emulator.frozen import frozen_directory
from rootlet.processes import PARENT

BOOT = resources.SHIMS / "boot.py"


@dataclass
class SerialBoard:
    """Boots again whenever it ends: at its prompt, Ctrl-D ends the Unix port and soft-resets a chip. Use it as a context.

    The board's terminal is one pty and ``port``, the developer's, another, with a cable between them; ``carried`` counts
    the bytes that it takes to the board and from it. It loses each of ``lost`` once, in their order, on the way to the
    board. ``world`` is what the virtual board's surroundings are like (emulator/shims).
    """

    flash: Path
    world: Mapping[str, Any] = field(default_factory=dict)
    lost: list[bytes] = field(default_factory=list)
    carried: list[int] = field(default_factory=lambda: [0, 0])
    port: str = ""

    def __post_init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._stop = threading.Event()
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "SerialBoard":
        self._board_end, self._board_tty = self._pty()
        self._port_end, port_tty = self._pty()
        self.port = os.ttyname(port_tty)
        # A chip's UART turns Ctrl-C into an interrupt while a program runs; so does a terminal. At its prompt the Unix
        # port switches that off and reads the character itself.
        self._attributes = termios.tcgetattr(self._board_tty)
        self._attributes[3] |= termios.ISIG
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._run, self._carry)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.reset()
        for thread in self._threads:
            thread.join(5)
        self._stack.close()

    def reset(self) -> None:
        """As by the line that holds the chip in reset: it stops at once, whatever it is doing, and boots."""
        for process in self._running:
            process.kill()

    def _pty(self) -> tuple[int, int]:
        ends = pty.openpty()
        tty.setraw(ends[1])
        for end in ends:
            self._stack.callback(os.close, end)
        return ends

    def _run(self) -> None:
        world = {"flash": str(self.flash), "frozen": str(frozen_directory()), "mac": "24:0a:c4:00:00:01", "prompt": True}
        environment = os.environ | {PARENT: str(os.getpid()), "ROOTLET_VIRTUAL_BOARD": json.dumps(world | dict(self.world))}
        command = [sys.executable, "-m", "rootlet.emulator.unix_port", "-X", "heapsize=1M", str(BOOT)]
        while not self._stop.is_set():
            termios.tcsetattr(self._board_tty, termios.TCSANOW, self._attributes)  # one that was killed leaves it raw
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=self._board_tty,
                stdout=self._board_tty,
                stderr=self._board_tty,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
            self._running = [process]
            if self._stop.is_set():
                process.kill()
            process.wait()

    def _carry(self) -> None:
        other = {self._board_end: self._port_end, self._port_end: self._board_end}
        while not self._stop.is_set():
            for end in select.select(list(other), [], [], 0.1)[0]:
                data = os.read(end, 4096)
                self.carried[end == self._board_end] += len(data)
                if self.lost and end == self._port_end and self.lost[0] in data:
                    data = data.replace(self.lost.pop(0), b"", 1)
                if end == self._port_end and b"\x03" in data:
                    self._await_sleep()
                os.write(other[end], data)

    def _await_sleep(self) -> None:
        # A chip sees Ctrl-C between two bytecodes. The Unix port's signal handler jumps out of whatever C code is running,
        # and a lock that this held stays locked for ever. So a Ctrl-C waits, a second at most, until the board sleeps.
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, IndexError):
                state = Path(f"/proc/{self._running[0].pid}/stat").read_text().rpartition(")")[2].split()[0]
                if state == "S":
                    return
            time.sleep(0.001)


class OverTheNetwork:
    """A SerialBoard behind an RFC 2217 server, whose RTS line holds the board in reset, as a development board's does."""

    def __init__(self, board: SerialBoard) -> None:
        self._board = board
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "OverTheNetwork":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, _LineWithReset(self._board) as line:
                self._carry(connection, line)

    def _carry(self, connection: socket.socket, line: serial.Serial) -> None:
        other: Any = SimpleNamespace(write=connection.sendall)
        manager = serial.rfc2217.PortManager(cast(Any, line), other)
        closed = threading.Event()

        def down() -> None:
            while not closed.is_set():
                with contextlib.suppress(OSError):
                    connection.sendall(b"".join(manager.escape(line.read(max(1, line.in_waiting)))))

        thread = threading.Thread(target=down, daemon=True)
        thread.start()
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                line.write(b"".join(manager.filter(data)))
        closed.set()
        thread.join()


class _LineWithReset(serial.Serial):
    """A pty has no lines beside its data: here RTS resets the board, and the rest is never up."""

    cts = dsr = ri = cd = dtr = False

    def __init__(self, board: SerialBoard) -> None:
        self._board = board
        super().__init__(board.port, timeout=0.1)

    @property
    def rts(self) -> bool:
        return False

    @rts.setter
    def rts(self, held: bool) -> None:
        if held and self.is_open:
            self._board.reset()
