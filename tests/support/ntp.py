"""An NTP server on loopback that says whatever time a test wants."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_NTP_1900 = 2208988800


class AdjustableTimeServer:
    """``clock`` gives the Unix seconds that it answers with; None: it does not answer. ``asked`` counts the questions."""

    def __init__(self, clock: Callable[[], float | None] = time.time) -> None:
        self.clock = clock
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._over = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Closed under its thread, it would let that thread read from whatever socket is opened next under its number.
        self._over = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, address = self._socket.recvfrom(512)
            if self._over:
                return
            self.asked += 1
            now = self.clock()
            if now is None:
                continue
            seconds = int(now + _NTP_1900) & 0xFFFFFFFF
            answer = bytes([0x24, 2]) + bytes(22) + question[40:48] + bytes(8) + struct.pack("!II", seconds, 0)
            self._socket.sendto(answer, address)
