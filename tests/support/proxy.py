"""A TCP proxy that does to a connection what networks do: delays, stalls, cuts, refuses, and hands out bytes one by one."""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class FaultyProxy:
    """Listens on a loopback port and forwards to another. Its attributes may change while it runs.

    ``delay``: seconds, each way. ``fragment``: bytes a segment towards the client; 0 for whatever comes.
    ``stalled``: accepts and keeps connections, but nothing goes through (a half-open link). ``down``: connections are reset.
    ``bytes_up`` and ``records_up`` (TLS records, where it is TLS) count what clients sent; ``accepted_at`` is the monotonic
    time of the last connection that was let through.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.fragment = 0
        self.stalled = False
        self.connections = 0
        self.bytes_up = 0
        self.records_up = 0
        self.accepted_at: float | None = None
        self._target = target
        self._down = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def down(self) -> bool:
        return self._down

    @down.setter
    def down(self, value: bool) -> None:
        self._down = value
        if value:
            self.cut()

    def cut(self) -> None:
        """Reset every connection there is."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._down:
            _reset(writer)
            return
        self._open.add(writer)
        self.accepted_at = time.monotonic()
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(up_writer)
            both = [self._carry(reader, up_writer, 0, up=True), self._carry(up_reader, writer, self.fragment, up=False)]
            await asyncio.gather(*both)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._open.discard(writer)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fragment: int, *, up: bool) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                if (wait := due - self._loop.time()) > 0:
                    await asyncio.sleep(wait)
                while self.stalled:
                    await asyncio.sleep(0.02)
                if not data:
                    break
                for piece in [data[at : at + fragment] for at in range(0, len(data), fragment)] if fragment else [data]:
                    sink.write(piece)
                    await sink.drain()
            with contextlib.suppress(OSError):
                sink.write_eof()

        records = _Records()
        _no_delay(sink)
        delivering = asyncio.create_task(deliver())
        data = b"?"
        while data:
            try:
                data = await source.read(65536)
            except OSError:
                data = b""
            if up:
                self.bytes_up += len(data)
                self.records_up += records.count(data)
            queue.put_nowait((self._loop.time() + self.delay, data))
        await delivering
        self._open.discard(sink)
        sink.close()


class _Records:
    """Counts the TLS records that begin in a stream (RFC 8446 section 5.1: type, version, length of 2 bytes)."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def count(self, data: bytes) -> int:
        begun, at = 0, 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            missing = 5 - len(self._header)
            self._header += data[at : at + missing]
            at += missing
            if len(self._header) == 5:
                begun += 1
                self._left = int.from_bytes(self._header[3:], "big")
                self._header = b""
        return begun


def _no_delay(stream: asyncio.StreamWriter) -> None:
    stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
