"""The scripted endpoint. A connection that it accepts waits until a case takes it and chooses its behaviour."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import NoReturn, Self

from rootlet.advisor.chains import ServerChain
from rootlet.advisor.client import Behaviour, Client, Clock, Timeout
from rootlet.advisor.timeline import Timeline
from rootlet.errors import RootletError

_LOOK = 0.25  # seconds of the host's time between two checks that the device still runs


class Endpoint:
    """Listens from entering the context to leaving it. A connection waits until ``take`` asks for it."""

    def __init__(
        self, address: str, port: int, usual: ServerChain, timeline: Timeline, clock: Clock, alive: Callable[[], bool]
    ) -> None:
        self._address, self._wanted_port, self.usual = address, port, usual
        self._timeline, self._clock = timeline, clock
        self._alive = alive
        self._waiting: asyncio.Queue[Client] = asyncio.Queue()
        self._connected = asyncio.Event()
        self.clients: list[Client] = []

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._accept, self._address, self._wanted_port, limit=1 << 20)
        except OSError as error:
            # asyncio's own message repeats the address; an unknown host name has no errno.
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            what = f"cannot listen on {self._address} port {self._wanted_port}: {reason}"
            raise RootletError(what, hint="give an address of this machine, and a free port above 1023") from None
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for client in self.clients:
            await client.close("the case is over")
        await self._server.wait_closed()

    async def take(self, behaviour: Behaviour | None = None, timeout: float = 120) -> Client:
        """The device's next connection, with this behaviour. Raises Timeout."""
        await self.arrival(timeout)
        client = self._waiting.get_nowait()
        behaviour = behaviour or Behaviour()
        client.begin(behaviour if behaviour.chain else replace(behaviour, chain=self.usual))
        return client

    async def arrival(self, timeout: float) -> None:
        """Wait until a connection may be taken. Raises Timeout."""
        deadline = self._clock.now() + timeout
        ended = False
        while self._waiting.empty():
            if self._clock.now() >= deadline:
                self._absent(f"none came in {timeout:g} s")
            if ended:
                self._absent("the device has ended")
            ended = not self._alive()  # what it began before that may still be in the listener's queue: look once more
            with contextlib.suppress(TimeoutError):
                left = min(_LOOK, self._clock.host(deadline - self._clock.now()))
                await asyncio.wait_for(self._connected.wait(), max(0.0, left))
        self._connected.clear()

    def _absent(self, why: str) -> NoReturn:
        self._timeline.add("note", 0, f"waited for a connection: {why}")
        raise Timeout

    def stop_listening(self) -> None:
        """Close the port until ``listen_again``."""
        self._server.close()

    async def move(self, address: str) -> None:
        """Listen on another address instead, on the same port."""
        self.stop_listening()
        self._address = address
        await self.listen_again()

    async def listen_again(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._address, self.port, limit=1 << 20)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Small packets must not be delayed (Nagle).
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(len(self.clients) + 1, Behaviour(), reader, writer, self._timeline, self._clock)
        self.clients.append(client)
        self._timeline.add("tcp", client.number)
        self._waiting.put_nowait(client)
        self._connected.set()
