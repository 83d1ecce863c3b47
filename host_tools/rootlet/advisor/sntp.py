"""A time server for the device under test: answers every query with the host's time (RFC 4330), on loopback."""

import asyncio
import struct
import time
from typing import Self

_NTP_1900 = 2208988800


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
        if len(data) >= 48:
            self.queries += 1
            now = struct.pack("!II", int(time.time() + _NTP_1900) & 0xFFFFFFFF, 0)
            # Version and mode 4 (server), stratum 2; reference, originate (theirs), receive, transmit.
            self._transport.sendto(b"\x24\x02\x06\xec" + bytes(12) + now + data[40:48] + now + now, addr)
