# The MQTT session: umqtt.simple made safe. What it keeps is the client's settings; every method that waits, reads or
# counts is replaced, for the defects that each replacement names.
import asyncio
from collections import OrderedDict

from umqtt.simple import MQTTClient

from .clock import milliseconds
from .faults import Fault, lost
from .log import log
from .modules import run, use
from .packets import Malformed, Parser, identifier_of, parse_publish, puback, publish

MAX_PACKET = 16 * 1024 + 512  # bytes; AWS IoT allows 128 KiB, which would take a chip's whole heap
_WINDOW = const(8)  # publishes in flight (AWS IoT allows 100)
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBACK = const(0x90)
_PINGRESP = const(0xD0)
_RETRY = const(10)  # seconds until an unacknowledged packet is sent again
_OVERDUE = const(300)  # seconds of resends until an acknowledgement is missing, not slow (AWS gives its cases 300)
_PROVEN = const(30000)  # milliseconds after which a connection has proved itself, so that the backoff may start over
_PROVEN_BY_PUBACK = const(5000)  # or the first PUBACK after these; never CONNACK, which an overloaded server may still send


class Flight:
    """A packet that waits for its acknowledgement. where: its topic or topics, for whoever reads about it."""

    sent = None  # milliseconds() of sending; None: never was
    since = 0  # of the first sending on this connection

    def __init__(self, packet, where, done):
        self.packet = packet
        self.where = where
        self.done = done

    def publish(self):
        return self.packet[0] & 0xF0 == _PUBLISH

    def __str__(self):
        return ("PUBLISH to " if self.publish() else "SUBSCRIBE to ") + self.where


class Session(MQTTClient):
    """One client's session over a Stream. QoS 1 messages in flight survive a reconnect.

    on_message(topic, payload, duplicate) is a coroutine function; its PUBACK follows once it returns.
    """

    _parser: Parser  # of this connection (hello.py)

    def __init__(self, client_id, server, port, keepalive, on_message=None):
        super().__init__(client_id, server, port, keepalive=keepalive)
        self.on_message = on_message
        self._first = True  # no PUBACK has come in this boot
        self.on_skipped = None  # called with topic and size of a message that was too large and is read away
        self.on_second = None  # called every second of a connection; may raise Fault to end it
        self.up = False  # CONNACK has come: only now may anything else be sent
        self.last = ""
        # packet identifier -> Flight, in the order of sending (section 4.6)
        self.in_flight = OrderedDict()
        self._stream = None
        self._write_lock = asyncio.Lock()
        self.aside = None  # or what the server hangs up on: suspicion.py
        self.slot = asyncio.Event()
        self.sent = self._received = self._since = milliseconds()
        self._proven = False
        self.acknowledged = False  # something was, on this connection
        self._ping_since = None
        self._again = []  # what was in flight when the connection began

    async def connect(self, stream, timeout, clean_session=False):
        """Send CONNECT, return session-present. Raises Fault.

        umqtt.simple blocks on the socket without a bound and asserts on what it reads.
        """
        return await run("hello", "exchange", self, stream, timeout, clean_session)

    async def run(self):
        """Serve the connection until it ends; always ends in a Fault."""
        self._ended = None
        keeper = asyncio.create_task(self._keep_alive(asyncio.current_task()))
        try:
            for flight in self._again:
                flight.since = milliseconds()
                await self._send_again(flight)
            while True:
                await self._handle(*await self.packet())
        except asyncio.CancelledError:
            if self._ended:
                raise self._ended
            raise
        finally:
            keeper.cancel()

    async def publish(self, topic, msg, retain=False, qos=0):
        """Publish; with QoS 1 return once the PUBACK is there. Waits for a place in the window. Raises Fault.

        umqtt.simple writes four or five TLS records a message, waits for the PUBACK without a bound, never sends again
        and never wraps its identifiers.
        """
        await run("subscribing", "publish", self, topic, msg, retain, qos)

    async def room(self, up=True):
        """Return once there is a place in the window and, with up, a connection."""
        while len(self.in_flight) >= _WINDOW or (up and not self.up):
            self.slot.clear()
            await self.slot.wait()

    async def post(self, topic, msg, retain=False, done=None):
        """Publish with QoS 1; return when it is on its way. done(True) follows on its PUBACK, done(False) if taken back."""
        identifier = self.next_identifier()
        await self.deliver(identifier, Flight(publish(topic, msg, 1, retain, identifier), topic, done))

    async def subscribe(self, filters):
        """Subscribe to a list of (filter, qos) and wait for each SUBACK. Raises Fault that names the filters refused.

        umqtt.simple waits without a bound, blocks all else meanwhile, and breaks at a filter of 128 bytes.
        """
        await run("subscribing", "subscribe", self, filters)

    async def disconnect(self):
        """Say DISCONNECT, so that the will is not published, and close."""
        await run("leave", "disconnect", self)

    def close(self):
        self.up = False
        if self._stream:
            self._stream.close()
            self._stream = None

    def age(self):
        """Milliseconds since CONNACK."""
        return milliseconds() - self._since

    def proven(self):
        """Whether this connection has proved itself: the backoff may start over."""
        return self._proven or self.age() > _PROVEN

    async def deliver(self, identifier, flight):
        self.in_flight[identifier] = flight
        if self.up:  # else run() sends it once there is a connection
            flight.sent = flight.since = milliseconds()
            try:
                await self.write(flight.packet)
            except (Fault, OSError):
                pass  # run() finds out by itself, and sends it again on the next connection

    async def _send_again(self, flight):
        if flight.sent is not None and flight.publish():
            flight.packet[0] |= 0x08  # DUP (section 3.3.1.1)
        flight.sent = milliseconds()
        await self.write(flight.packet)

    def next_identifier(self):
        # umqtt.simple counts on past 65535; 0 is forbidden, and one in flight must not be taken (section 2.3.1).
        while True:
            self.pid = self.pid % 65535 + 1
            if self.pid not in self.in_flight:
                return self.pid

    async def write(self, data, what=""):
        stream = self._stream
        if not stream:
            raise Fault("connection-lost", "not connected")
        async with self._write_lock:
            self.sent = milliseconds()
            self.last = what
            await stream.write(data)

    async def packet(self):
        # umqtt.simple needs a whole packet to be there, and blocks for ever on the rest of one.
        parser = self._parser
        while True:
            if not self._stream:
                raise Fault("connection-lost", "closed")
            try:
                # Never more than is needed: MicroPython's read goes on to fill the size asked for, and when it meets the
                # server's close_notify behind the last packet, it returns that packet and forgets the end.
                count = await self._stream.readinto(parser.place())
            except OSError as error:
                raise lost("reading", error)
            if not count:
                raise Fault("connection-lost", "the server closed the connection")
            self._received = milliseconds()
            self._ping_since = None
            packet = self._checked(parser.filled, count)
            if packet:
                return packet

    async def _handle(self, kind, flags, body):
        if kind == _PUBLISH:
            skipped = self._parser.skipped
            topic, payload, qos, duplicate, identifier = self._checked(parse_publish, flags, body)
            if skipped:
                if self.on_skipped:
                    self.on_skipped(topic.decode(), skipped)
            elif self.on_message:
                await self.on_message(topic, payload, duplicate)
            if qos == 1:
                await self.write(puback(identifier))
        elif kind in (_PUBACK, _SUBACK):
            # One that nobody waits for is read and dropped; umqtt.simple leaves its body in the stream.
            self._acknowledge(kind, self._checked(identifier_of, body), body)
        elif kind != _PINGRESP:
            raise Fault("protocol", "an unexpected packet of type %d" % (kind >> 4))

    def _acknowledge(self, kind, identifier, body):
        flight = self.in_flight.get(identifier)
        if not flight or flight.publish() != (kind == _PUBACK):
            return
        del self.in_flight[identifier]
        self.acknowledged = True
        self.slot.set()
        if flight.done:
            flight.done(body[2:] if kind == _SUBACK else True)
        if kind == _PUBACK:
            if self.aside:
                self.aside.pop(flight.where, None)  # it is allowed after all
            self._proven = self._proven or self.age() > _PROVEN_BY_PUBACK
            if self._first:
                self._first = False
                log("mqtt", "first puback")

    @staticmethod
    def _checked(parse, *arguments):
        try:
            return parse(*arguments)
        except Malformed as error:
            raise Fault("protocol", str(error))

    async def _keep_alive(self, reader):
        # Ends the reader when the connection is dead; a reader alone would wait for ever on a half-open one.
        self.sent = milliseconds()
        try:
            while True:
                await asyncio.sleep(1)
                # A peer that takes nothing blocks a write as surely as one that says nothing blocks a read.
                await asyncio.wait_for(self._care(milliseconds()), max(1, self.keepalive // 2))
                if self.on_second:
                    self.on_second()
        except asyncio.TimeoutError:
            self._ended = Fault("keep-alive", "the server takes nothing any more")
        except Exception as error:  # a Fault, or a lack of memory: unwatched, the connection must not go on
            self._ended = error
        reader.cancel()

    async def _care(self, now):
        for flight in list(self.in_flight.values()):
            if flight.sent is not None and now - flight.sent > _RETRY * 1000:
                if now - flight.since > _OVERDUE * 1000:
                    raise use("evidence", "overdue", flight, _OVERDUE)
                await self._send_again(flight)
        # The server wants to hear from us once in a keep-alive (section 3.1.2.10), and so do we from it: what is sent is no
        # sign of its life. Its answer to a PINGREQ has half of that time again.
        if self._ping_since is None:
            if max(now - self.sent, now - self._received) >= self.keepalive * 1000:
                self._ping_since = now
                await self.write(b"\xc0\x00")
        elif now - self._ping_since > self.keepalive * 500:
            raise Fault("keep-alive", "no PINGRESP in %d s" % (self.keepalive // 2))
