"""One boot of a virtual board in simulated time, as its conductor sees it (``emulator/shims/simulation.py``)."""

import os
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rootlet.emulator.virtual_board import BoardSettings, describe_world, launch

_QUESTION = struct.Struct("<Bqq")
_ANSWER = struct.Struct("<qqqqq")
HEAP = "1M"  # a collection takes time, and of a larger heap there are fewer
SILENCE = 60  # seconds of the host's time that a board may compute without a word


@dataclass(frozen=True)
class Question:
    """``kind``: i(dle until), d(ns, length of the name), r(tc set to), s(leep for), w(atchdog). Time: of the board."""

    kind: str
    now: int
    number: int


class BoardSpins(Exception):  # noqa: N818 - reads as what it is
    """The board computes without end."""


class Conducted:
    """A boot. ``on_line`` gets each line of the console, and the time of the question or answer that is next to it."""

    def __init__(
        self,
        flash: Path,
        simulation: Mapping[str, Any],
        seed: int,
        bad_blocks: Sequence[int],
        on_line: Callable[[str, int], None],
    ) -> None:
        self._on_line = on_line
        with socket.create_server(("127.0.0.1", 0)) as server:
            facts = {**simulation, "port": server.getsockname()[1]}
            extra = {
                "simulation": facts,
                "seed": seed,
                "clock": simulation["clock"],
                "wifi": {"near": "campaign"},
                "bad_blocks": bad_blocks,
                "c_heap": None,  # no account: of memory, and what its lack does, other tests tell
            }
            settings = BoardSettings(heapsize=HEAP, extra=extra)
            self._process: subprocess.Popen[str] = launch(describe_world(flash, settings), settings.heapsize)
            assert self._process.stdout is not None
            self._console = self._process.stdout.fileno()
            os.set_blocking(self._console, False)
            self._rest = b""
            self._now = 0
            server.settimeout(SILENCE)
            self._control, _ = server.accept()
        self._control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._control.settimeout(SILENCE)

    def receive(self) -> Question | None:
        """The next question; None where the board has ended. Raises BoardSpins."""
        data = self._read(_QUESTION.size)
        if data is None:
            return None
        kind, now, number = _QUESTION.unpack(data)
        self._now = now
        self._listen()
        return Question(chr(kind), now, number)

    def name(self, question: Question) -> str:
        """The host name that follows a question of kind d."""
        return (self._read(question.number) or b"").decode()

    def answer_name(self, found: int) -> None:
        self._control.sendall(struct.pack("<q", found))

    def answer(self, now: int, until: int, stride: int, radio: int, cut: int) -> None:
        self._now = now
        self._control.sendall(_ANSWER.pack(now, until, stride, radio, cut))

    def end(self) -> int:
        """Take the power, or see the board off; its exit code, negative where it was killed."""
        self._process.kill()
        self._process.wait()
        self._listen()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._control.close()
        return self._process.returncode

    def exit_code(self) -> int:
        """Of a board that has ended by itself."""
        try:
            self._process.wait(SILENCE)
        except subprocess.TimeoutExpired:
            raise BoardSpins from None
        return self.end()

    def _read(self, size: int) -> bytes | None:
        data = b""
        try:
            while len(data) < size:
                more = self._control.recv(size - len(data))
                if not more:
                    return None
                data += more
        except TimeoutError:
            raise BoardSpins from None
        except ConnectionResetError:
            return None
        return data

    def _listen(self) -> None:
        while True:
            try:
                data = os.read(self._console, 65536)
            except BlockingIOError:
                return
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._on_line(line.decode(errors="replace").rstrip("\r"), self._now)
