# MQTT 3.1.1 packets, both ways, with no I/O in it.
import gc
import struct

_PUBLISH = const(0x30)
_FLAGLESS = const(b"\x20\x40\x90\xb0\xd0")  # CONNACK, PUBACK, SUBACK, UNSUBACK, PINGRESP
_BEGINNING = const(4 + 256)  # bytes of a PUBLISH that hold its topic (AWS IoT: 256) and its packet identifier
_LARGE = const(1024)  # bytes of a packet that must leave others some memory
_SPARE = const(4096)  # bytes of heap


class Malformed(ValueError):
    """The peer sent what MQTT 3.1.1 forbids, or more than we take."""


def publish(topic, payload, qos, retain, identifier):
    """PUBLISH (section 3.3) as one buffer, so that it leaves as one TLS record."""
    body = string(topic)
    if qos:
        body += struct.pack("!H", identifier)
    if isinstance(payload, str):
        payload = payload.encode()
    return packet(_PUBLISH | qos << 1 | retain, body, payload)


def puback(identifier):
    return struct.pack("!BBH", 0x40, 2, identifier)


def parse_publish(flags, body):
    """Topic (bytes), payload, QoS, DUP, packet identifier (0 for QoS 0). body, a bytearray, becomes the payload."""
    qos = flags >> 1 & 3
    if qos == 3:
        raise Malformed("PUBLISH with QoS 3")
    if len(body) < 2:
        raise Malformed("PUBLISH without a topic")
    end = 2 + (body[0] << 8 | body[1])
    at = end + (2 if qos else 0)
    if at > len(body) or end == 2:
        raise Malformed("PUBLISH with a broken topic")
    identifier = body[end] << 8 | body[end + 1] if qos else 0
    if qos and not identifier:
        raise Malformed("PUBLISH with packet identifier 0")
    topic = bytes(body[2:end])
    body[:at] = b""  # in place: a copy of 16 KiB may find no room
    return topic, body, qos, bool(flags & 8), identifier


def identifier_of(body):
    """The packet identifier that begins an acknowledgement. Raises Malformed."""
    if len(body) < 2:
        raise Malformed("an acknowledgement without a packet identifier")
    return body[0] << 8 | body[1]


class Parser:
    """Packets out of a stream that may break at any byte. limit bounds a packet, in bytes.

    What comes is to be read into place(), which is never longer than the packet: to ask for more could swallow the end of
    the stream. A body is read where it stays, for a large one leaves the heap no room for pieces and copies.

    Of a PUBLISH beyond the limit, or beyond what the heap has to spare, the beginning is kept and the rest is read away: to
    end the connection would have a persistent session deliver it again and again. skipped is then its length, else 0.
    """

    def __init__(self, limit):
        self._limit = limit
        self._head = bytearray(5)
        self._body: "bytearray | None" = None  # once the head is whole
        self._spill: "bytearray | None" = None  # takes what is read away
        self._kind = self._flags = self._at = self._left = 0
        self.skipped = 0

    def place(self):
        """A memoryview of where the next bytes belong."""
        if self._body is None:
            return memoryview(self._head)[self._at : max(2, self._at + 1)]
        if self._at < len(self._body):
            return memoryview(self._body)[self._at :]
        return memoryview(self._spill)[: self._left]  # type: ignore[arg-type]

    def filled(self, count):
        """So many bytes came to place(). (type, flags, body) of a packet that is whole now, or None. Raises Malformed."""
        if self._body is None:
            self._at += count
            if not self._begin():
                return None
        else:
            self._at = min(self._at + count, len(self._body))
            self._left -= count
        if self._left:
            return None
        body = self._body  # the caller's now
        self._body = self._spill = None
        self._at = 0
        return self._kind, self._flags, body

    def _begin(self):
        head, end = self._head, self._at
        if end < 2 or head[end - 1] & 0x80:
            if end == len(head):
                raise Malformed("a remaining length of more than 4 bytes")
            return False
        length = 0
        for at in range(1, end):
            length |= (head[at] & 0x7F) << 7 * (at - 1)
        self._kind, self._flags = head[0] & 0xF0, head[0] & 0x0F
        if self._kind != _PUBLISH and (self._flags or self._kind not in _FLAGLESS):
            raise Malformed("a packet of type %d with flags %d" % (self._kind >> 4, self._flags))
        if length > self._limit and self._kind != _PUBLISH:
            raise Malformed("a packet of %d bytes; the limit is %d" % (length, self._limit))
        self._body = self._room(length)
        self._at = 0
        self._left = length
        return True

    def _room(self, length):
        self.skipped = 0
        if length <= self._limit:
            try:
                body = bytearray(length)
                if length < _LARGE or self._kind != _PUBLISH or _to_spare():
                    return body
                body = bytearray()
            except MemoryError:
                if self._kind != _PUBLISH:
                    raise
        self.skipped = length
        self._spill = bytearray(_BEGINNING)
        return bytearray(min(length, _BEGINNING))


def _to_spare():
    # A message that leaves everything else without memory would end the connection, and come again.
    if gc.mem_free() > _SPARE:
        return True
    gc.collect()
    return gc.mem_free() > _SPARE


def string(value):
    if isinstance(value, str):
        value = value.encode()
    return struct.pack("!H", len(value)) + value


def packet(first, body, payload=b""):
    packet = bytearray((first,))
    length = len(body) + len(payload)
    while length > 0x7F:
        packet.append(length & 0x7F | 0x80)
        length >>= 7
    packet.append(length)
    packet.extend(body)
    packet.extend(payload)  # not body + payload: a large report would be in RAM once more
    return packet
