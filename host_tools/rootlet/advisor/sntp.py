"""A time server for the device under test: answers every query with the host's time (RFC 4330), on loopback."""

import asyncio
import time
from typing import Self

from rootlet.emulator import sntp


class TimeServer(asyncio.DatagramProtocol):
    """A time server; ``queries`` is their number so far."""

    port: int

    def __init__(self) -> None:
        self.queries = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if answer := sntp.reply(data, time.time()):
            self.queries += 1
            self._transport.sendto(answer, addr)
