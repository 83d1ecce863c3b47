"""One connection of the device, with the answers that a case chooses."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rootlet import packets
from rootlet.advisor.chains import ServerChain
from rootlet.advisor.hello import Hello, HelloReader
from rootlet.advisor.timeline import Timeline
from rootlet.advisor.tls import TlsEnd, TlsFailed, TlsServer
from rootlet.packets import (
    Connack,
    Connect,
    Decoder,
    MalformedPacket,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)  # fmt: skip

P = TypeVar("P", bound=Packet)

LARGEST = 128 * 1024 + 1024
"""The largest packet accepted, in bytes: AWS IoT's 128 KiB of payload, and a topic."""

_PIECE = 65536


class Timeout(Exception):  # noqa: N818 - reads as what it is
    """A packet or connection that a case waited for did not come. The timeline has a note of it, and the case ends."""


class Clock:
    """The device's time, which runs ``speed`` times as fast as the host's."""

    def __init__(self, speed: float = 1) -> None:
        self.speed = speed
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds of the device's time since the start."""
        return (time.monotonic() - self._began) * self.speed

    def host(self, seconds: float) -> float:
        """A duration of the device's time, in seconds of the host's."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self.host(seconds))


@dataclass(frozen=True)
class Behaviour:
    """How the endpoint treats a connection. The default is AWS IoT Core's behaviour."""

    chain: ServerChain | None = None
    """The chain; the endpoint's usual one where None."""
    withhold: frozenset[type[Packet]] = frozenset()
    """Packets that get no answer: Connect, Subscribe, Publish, Pingreq."""
    session_present: bool = False
    tls12_only: bool = False
    stall: bool = False
    """Accept TCP, and read nothing."""


@dataclass
class Client:
    """One connection of the device, once a case has taken it."""

    number: int
    behaviour: Behaviour
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _timeline: Timeline
    _clock: Clock
    hello: Hello | None = None
    ready: bool = False
    """Whether the handshake has succeeded."""
    closed: bool = False
    on_packet: Callable[[Packet], bool] | None = None
    """Gets a packet before the usual answer; True means that there is nothing more to answer."""
    received: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._decoder = Decoder(LARGEST)
        self._hello_reader = HelloReader()
        self._task: asyncio.Task[None] | None = None
        self._taken: dict[type[object], int] = {}
        self._seen = 0
        self._dripping = False
        self._refused_by_us = False
        self._waiting: list[Packet] = []

    # What a case does with a connection

    async def handshake(self, timeout: float = 60) -> bool:
        """Whether the handshake succeeds within ``timeout`` seconds."""
        await self._until(lambda: self.ready or self.closed, timeout)
        return self.ready

    async def packet(self, kind: type[P], where: Callable[[P], bool] = lambda _: True, timeout: float = 60) -> P:
        """The next packet of ``kind`` that no call has returned yet. Raises Timeout."""

        def find() -> P | None:
            for index in range(self._taken.get(kind, 0), len(self.received)):
                packet = self.received[index]
                if isinstance(packet, kind) and where(packet):
                    self._taken[kind] = index + 1
                    return packet
            return None

        found: list[P] = []

        def look() -> bool:
            if not found and (packet := find()) is not None:
                found.append(packet)
            return bool(found) or self.closed

        await self._until(look, timeout)
        if not found:
            why = "the connection ended first" if self.closed else f"none came in {timeout:g} s"
            self._timeline.add("note", self.number, f"waited for {kind.__name__.upper()}: {why}")
            raise Timeout
        return found[0]

    async def any_packet(self, kinds: tuple[type[Packet], ...], timeout: float) -> Packet | None:
        """The next packet of these kinds that no call of this has returned yet; None where none comes."""

        def left() -> list[Packet]:
            return [packet for packet in self.received[self._seen :] if isinstance(packet, kinds)]

        await self._until(lambda: bool(left()) or self.closed, timeout)
        found = left()
        if not found:
            return None
        self._seen = next(i for i in range(self._seen, len(self.received)) if self.received[i] is found[0]) + 1
        return found[0]

    @staticmethod
    async def quietly(wait: Awaitable[object]) -> None:
        """Wait for a packet whose absence does not end the case, since the grading judges it."""
        with contextlib.suppress(Timeout):
            await wait

    async def acknowledged(self, identifier: int, timeout: float = 60) -> bool:
        """Whether a PUBACK comes before the connection ends or ``timeout`` seconds pass."""
        await self._until(lambda: Puback(identifier) in self.received or self.closed, timeout)
        return Puback(identifier) in self.received

    async def refused(self, timeout: float) -> None:
        """Wait until the device ends the connection or sends a packet, up to ``timeout`` seconds."""
        await self._until(lambda: self.closed or bool(self.received), timeout)

    async def ended(self, timeout: float) -> bool:
        """Whether the device ends the connection within ``timeout`` seconds."""
        await self._until(lambda: self.closed, timeout)
        return self.closed

    async def send(self, packet: Packet) -> None:
        """Send a packet in as few TLS records as possible, after any packet that is being sent byte by byte."""
        if self._dripping:
            self._waiting.append(packet)
            return
        self._timeline.add("out", self.number, packet=packet)
        await self._put(packets.encode(packet))

    async def send_slowly(self, packet: Packet, pause: float = 0, count: int | None = None) -> None:
        """Send a packet (its first ``count`` bytes) byte by byte, each in a record of its own, ``pause`` s between."""
        data = packets.encode(packet)
        self._timeline.add("out", self.number, "byte by byte", packet=packet)
        self._dripping = True
        for byte in data[:count]:
            if self.closed:
                return
            await self._put(bytes((byte,)))
            await self._clock.sleep(pause)
        if count is None or count >= len(data):  # nothing may follow half a packet
            self._dripping = False
            while self._waiting:
                await self.send(self._waiting.pop(0))

    async def send_together(self, together: Sequence[Packet]) -> None:
        """Send several packets in one TLS record."""
        for packet in together:
            self._timeline.add("out", self.number, packet=packet)
        await self._put(b"".join(map(packets.encode, together)))

    async def send_raw(self, data: bytes, what: str) -> None:
        """Send bytes that are not a packet."""
        self._timeline.add("note", self.number, f"sends {what}: {data.hex(' ')}")
        await self._put(data)

    @property
    def renegotiations(self) -> int:
        return self._tls.renegotiations

    async def renegotiate(self) -> None:
        self._timeline.add("note", self.number, "asks to renegotiate")
        self._tls.renegotiate()
        await self._flush()

    async def close(self, how: str = "closed") -> None:
        """Send close_notify, then close TCP."""
        if not self.closed:
            self._end("server", how)
            if self.ready:
                self._tls.close()
                with contextlib.suppress(OSError):
                    await self._flush()
        await self._hang_up()

    async def reset(self) -> None:
        """Reset the TCP connection, without a TLS alert."""
        if not self.closed:
            self._end("server", "reset")
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._hang_up()

    # What happens by itself

    def begin(self, behaviour: Behaviour) -> None:
        assert behaviour.chain
        self.behaviour = behaviour
        self._tls = TlsServer(behaviour.chain, self._note_alert, tls12_only=behaviour.tls12_only)
        self._task = asyncio.create_task(self._ignore() if behaviour.stall else self._serve())

    async def _ignore(self) -> None:
        with contextlib.suppress(OSError):
            while await self._reader.read(_PIECE):
                pass
        self._end("device", "closed")
        await self._wake()

    async def _serve(self) -> None:
        try:
            while data := await self._reader.read(_PIECE):
                self._read_hello(data)
                await self._take(data)
            self._end("device", "closed")
        except TlsEnd:
            self._end("device", "close_notify")
        except TlsFailed as error:
            if not self.ready:
                self._timeline.add("tls-failed", self.number, str(error))
            with contextlib.suppress(OSError):
                await self._flush()
            self._end("server" if self.ready or self._refused_by_us else "device", str(error))
        except OSError as error:
            self._end("device", error.strerror or type(error).__name__)
        except MalformedPacket as error:
            self._timeline.add("malformed", self.number, str(error))
            self._end("server", "a malformed packet")
        await self._wake()
        await self._hang_up()

    async def _take(self, data: bytes) -> None:
        try:
            heard = self._tls.feed(data)
        finally:
            with contextlib.suppress(OSError):
                await self._flush()
        if self._tls.established and not self.ready:
            self.ready = True
            self._timeline.add("tls", self.number, **self._tls.facts())
        for packet in self._decoder.feed(heard) if heard else []:
            self._timeline.add("in", self.number, packet=packet)
            self.received.append(packet)
            if not (self.on_packet and self.on_packet(packet)):
                await self._answer(packet)
        await self._wake()

    async def _answer(self, packet: Packet) -> None:
        if type(packet) in self.behaviour.withhold:
            return
        match packet:
            case Connect():
                await self.send(Connack(self.behaviour.session_present and not packet.clean_session))
            case Subscribe():
                await self.send(Suback(packet.identifier, tuple(min(qos, 1) for _, qos in packet.filters)))
            case Unsubscribe():
                await self.send(Unsuback(packet.identifier))
            case Publish(qos=1):
                await self.send(Puback(packet.identifier))
            case Publish(qos=2):
                raise MalformedPacket("QoS 2, which AWS IoT Core does not support")
            case Pingreq():
                await self.send(Pingresp())

    def _read_hello(self, data: bytes) -> None:
        if self._hello_reader.done:
            return
        self.hello = self._hello_reader.feed(data)
        if self.hello:
            self._timeline.add(
                "hello",
                self.number,
                suites=self.hello.names,
                other_suites=self.hello.others,
                recommended=self.hello.recommended,
                server_name=self.hello.server_name,
                longest_fragment=self.hello.longest_fragment,
            )
        elif self._hello_reader.done:
            self._timeline.add("note", self.number, "the first bytes were not a ClientHello")

    def _note_alert(self, from_device: bool, name: str, fatal: bool) -> None:
        self._refused_by_us = self._refused_by_us or (fatal and not from_device)
        self._timeline.add("alert-in" if from_device else "alert-out", self.number, name, fatal=fatal)

    def _end(self, by: str, how: str) -> None:
        if not self.closed:
            self.closed = True
            self._timeline.add("closed", self.number, how, by=by)

    async def _put(self, data: bytes) -> None:
        if self.closed:
            return
        self._tls.send(data)
        with contextlib.suppress(OSError):
            await self._flush()

    async def _flush(self) -> None:
        if data := self._tls.outgoing():
            self._writer.write(data)
            await self._writer.drain()

    async def _hang_up(self) -> None:
        self._writer.close()
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()
        await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, done: Callable[[], bool], timeout: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(done), self._clock.host(timeout))
