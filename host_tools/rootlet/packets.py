"""A strict encoder and decoder of MQTT 3.1.1 packets, without I/O. Section numbers are those of the OASIS standard."""

import struct
from dataclasses import dataclass
from typing import ClassVar

LONGEST = 268_435_455  # bytes; the largest remaining length in four bytes (section 2.2.3)


class MalformedPacket(ValueError):  # noqa: N818 - reads as what it is
    """The peer sent what MQTT 3.1.1 forbids."""


class IdentifierRejected(MalformedPacket):
    """The peer asked for a persistent session without a client ID, to which a server says so (section 3.1.3.1)."""


@dataclass(frozen=True)
class Will:
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True)
class Connect:
    kind: ClassVar[int] = 1
    client_id: str
    keep_alive: int = 0  # seconds
    clean_session: bool = True
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None


@dataclass(frozen=True)
class Connack:
    kind: ClassVar[int] = 2
    session_present: bool = False
    code: int = 0


@dataclass(frozen=True)
class Publish:
    kind: ClassVar[int] = 3
    topic: str
    payload: bytes = b""
    qos: int = 0
    identifier: int = 0
    """The packet identifier; 0 with QoS 0, which has none."""
    retain: bool = False
    duplicate: bool = False


@dataclass(frozen=True)
class _Numbered:
    identifier: int


class Puback(_Numbered):
    kind: ClassVar[int] = 4


class Pubrec(_Numbered):
    kind: ClassVar[int] = 5


class Pubrel(_Numbered):
    kind: ClassVar[int] = 6


class Pubcomp(_Numbered):
    kind: ClassVar[int] = 7


@dataclass(frozen=True)
class Subscribe:
    kind: ClassVar[int] = 8
    identifier: int
    filters: tuple[tuple[str, int], ...]
    """Topic filter and QoS, in the packet's order."""


@dataclass(frozen=True)
class Suback:
    kind: ClassVar[int] = 9
    identifier: int
    codes: tuple[int, ...]


@dataclass(frozen=True)
class Unsubscribe:
    kind: ClassVar[int] = 10
    identifier: int
    filters: tuple[str, ...]


class Unsuback(_Numbered):
    kind: ClassVar[int] = 11


@dataclass(frozen=True)
class Pingreq:
    kind: ClassVar[int] = 12


@dataclass(frozen=True)
class Pingresp:
    kind: ClassVar[int] = 13


@dataclass(frozen=True)
class Disconnect:
    kind: ClassVar[int] = 14


Packet = (
    Connect | Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp
    | Subscribe | Suback | Unsubscribe | Unsuback | Pingreq | Pingresp | Disconnect
)  # fmt: skip

_NUMBERED = {packet.kind: packet for packet in (Puback, Pubrec, Pubrel, Pubcomp, Unsuback)}
_EMPTY = {packet.kind: packet for packet in (Pingreq, Pingresp, Disconnect)}
_WITH_FLAGS = {Pubrel.kind: 2, Subscribe.kind: 2, Unsubscribe.kind: 2}
_REFUSED = 0x80


def encode(packet: Packet) -> bytes:
    """The bytes of ``packet``."""
    flags = _WITH_FLAGS.get(packet.kind, 0)
    match packet:
        case Connect():
            body = _connect(packet)
        case Connack():
            body = bytes((packet.session_present, packet.code))
        case Publish():
            flags = packet.duplicate << 3 | packet.qos << 1 | packet.retain
            number = struct.pack("!H", packet.identifier) if packet.qos else b""
            body = _string(packet.topic) + number + packet.payload
        case Subscribe():
            filters = (_string(name) + bytes((qos,)) for name, qos in packet.filters)
            body = struct.pack("!H", packet.identifier) + b"".join(filters)
        case Suback():
            body = struct.pack("!H", packet.identifier) + bytes(packet.codes)
        case Unsubscribe():
            body = struct.pack("!H", packet.identifier) + b"".join(map(_string, packet.filters))
        case Pingreq() | Pingresp() | Disconnect():
            body = b""
        case _:
            body = struct.pack("!H", packet.identifier)
    return bytes((packet.kind << 4 | flags,)) + _remaining_length(len(body)) + body


def name_of(packet: Packet) -> str:
    return type(packet).__name__.upper()


class Decoder:
    """Decodes packets from a stream, whatever the sizes of its pieces."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._buffer = bytearray()
        self._longest = longest

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that ``data`` completes. Raises MalformedPacket, after which the decoder cannot be used."""
        self._buffer += data
        packets = []
        while (end := self._end()) is not None:
            first = self._buffer[0]
            start = end - self._length
            body = bytes(self._buffer[start:end])
            del self._buffer[:end]
            packets.append(decode(first, body))
        return packets

    def _end(self) -> int | None:
        length = 0
        for at in range(1, 5):
            if at >= len(self._buffer):
                return None
            byte = self._buffer[at]
            length |= (byte & 0x7F) << 7 * (at - 1)
            if not byte & 0x80:
                break
        else:
            raise MalformedPacket("the remaining length has more than four bytes (section 2.2.3)")
        if length > self._longest:
            raise MalformedPacket(f"a packet of {length} bytes; the limit is {self._longest}")
        self._length = length
        end = at + 1 + length
        return end if end <= len(self._buffer) else None


class _Body:
    """Reads the fields of a packet's body. A missing byte raises MalformedPacket."""

    def __init__(self, what: str, data: bytes) -> None:
        self._what, self._data, self._at = what, data, 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise MalformedPacket(f"{self._what} ends too early")
        self._at += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def identifier(self) -> int:
        number = self.number()
        if not number:
            raise MalformedPacket(f"{self._what} with packet identifier 0 (section 2.3.1)")
        return number

    def data(self) -> bytes:
        return self.take(self.number())

    def string(self) -> str:
        try:
            text = self.data().decode()  # Python refuses surrogates, as section 1.5.3 asks
        except UnicodeDecodeError:
            raise MalformedPacket(f"{self._what} with a string that is not UTF-8 (section 1.5.3)") from None
        if "\0" in text:
            raise MalformedPacket(f"{self._what} with U+0000 in a string (section 1.5.3)")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def more(self) -> bool:
        return self._at < len(self._data)

    def end(self) -> None:
        if self.more():
            raise MalformedPacket(f"{self._what} with {len(self._data) - self._at} bytes too many")


def decode(first: int, data: bytes) -> Packet:
    """The packet of this first byte and body. Raises MalformedPacket."""
    kind, flags = first >> 4, first & 0x0F
    if kind == Publish.kind:
        return _decode_publish(flags, _Body("PUBLISH", data))
    if flags != _WITH_FLAGS.get(kind, 0):
        raise MalformedPacket(f"a packet of type {kind} with flags {flags} (section 2.2.2)")
    if kind in _EMPTY:
        empty = _EMPTY[kind]()
        _Body(name_of(empty), data).end()
        return empty
    if kind in _NUMBERED:
        body = _Body(_NUMBERED[kind].__name__.upper(), data)
        numbered: Packet = _NUMBERED[kind](body.identifier())
        body.end()
        return numbered
    match kind:
        case Connect.kind:
            return _decode_connect(_Body("CONNECT", data))
        case Connack.kind:
            return _decode_connack(_Body("CONNACK", data))
        case Subscribe.kind:
            return _decode_subscribe(_Body("SUBSCRIBE", data))
        case Suback.kind:
            return _decode_suback(_Body("SUBACK", data))
        case Unsubscribe.kind:
            return _decode_unsubscribe(_Body("UNSUBSCRIBE", data))
    raise MalformedPacket(f"a packet of type {kind} (section 2.2.1)")


def _decode_connect(body: _Body) -> Connect:
    if (name := body.string()) != "MQTT" or (level := body.byte()) != 4:
        raise MalformedPacket(f"CONNECT is for protocol {name!r}" + ("" if name != "MQTT" else f" level {level}, not 4"))
    flags, keep_alive = body.byte(), body.number()
    has_will, qos, retain = bool(flags & 4), flags >> 3 & 3, bool(flags & 0x20)
    user, password = bool(flags & 0x80), bool(flags & 0x40)
    if flags & 1 or qos == 3 or (not has_will and (qos or retain)) or (password and not user):
        raise MalformedPacket(f"CONNECT with flags 0x{flags:02x} (section 3.1.2)")
    client_id = body.string()
    clean = bool(flags & 2)
    if not client_id and not clean:
        raise IdentifierRejected("CONNECT for a persistent session without a client ID (section 3.1.3.1)")
    will = Will(_topic_name(body), body.data(), qos, retain) if has_will else None
    packet = Connect(client_id, keep_alive, clean, will, body.string() if user else None, body.data() if password else None)
    body.end()
    return packet


def _decode_connack(body: _Body) -> Connack:
    flags, code = body.byte(), body.byte()
    body.end()
    if flags > 1 or (flags and code):
        raise MalformedPacket(f"CONNACK with flags {flags} and code {code} (section 3.2.2)")
    return Connack(bool(flags), code)


def _decode_publish(flags: int, body: _Body) -> Publish:
    duplicate, qos, retain = bool(flags & 8), flags >> 1 & 3, bool(flags & 1)
    if qos == 3 or (duplicate and not qos):
        raise MalformedPacket(f"PUBLISH with flags {flags} (section 3.3.1)")
    topic = _topic_name(body)
    identifier = body.identifier() if qos else 0
    return Publish(topic, body.rest(), qos, identifier, retain, duplicate)


def _decode_subscribe(body: _Body) -> Subscribe:
    identifier = body.identifier()
    filters: list[tuple[str, int]] = []
    while not filters or body.more():
        topic_filter, qos = _topic_filter(body), body.byte()
        if qos > 2:
            raise MalformedPacket(f"SUBSCRIBE asks for QoS byte {qos} (section 3.8.3)")
        filters.append((topic_filter, qos))
    return Subscribe(identifier, tuple(filters))


def _decode_suback(body: _Body) -> Suback:
    identifier, codes = body.identifier(), tuple(body.rest())
    if not codes or any(code > 2 and code != _REFUSED for code in codes):
        raise MalformedPacket(f"SUBACK with return codes {codes} (section 3.9.3)")
    return Suback(identifier, codes)


def _decode_unsubscribe(body: _Body) -> Unsubscribe:
    identifier = body.identifier()
    filters: list[str] = [_topic_filter(body)]
    while body.more():
        filters.append(_topic_filter(body))
    return Unsubscribe(identifier, tuple(filters))


def _topic_name(body: _Body) -> str:
    topic = body.string()
    if not topic or "#" in topic or "+" in topic:
        raise MalformedPacket(f"{topic!r} is not a topic name (section 3.3.2.1)")
    return topic


def _topic_filter(body: _Body) -> str:
    topic = body.string()
    levels = topic.split("/")
    whole = all("+" not in level or level == "+" for level in levels)
    last = all("#" not in level for level in levels[:-1]) and ("#" not in levels[-1] or levels[-1] == "#")
    if not (topic and whole and last):
        raise MalformedPacket(f"{topic!r} is not a topic filter (section 4.7.1)")
    return topic


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter matches a topic name (MQTT 3.1.1 section 4.7)."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


def _connect(packet: Connect) -> bytes:
    will, flags, tail = packet.will, packet.clean_session << 1, b""
    if will:
        flags |= 4 | will.qos << 3 | will.retain << 5
        tail += _string(will.topic) + _data(will.payload)
    if packet.user_name is not None:
        flags |= 0x80
        tail += _string(packet.user_name)
    if packet.password is not None:
        flags |= 0x40
        tail += _data(packet.password)
    return b"\x00\x04MQTT\x04" + struct.pack("!BH", flags, packet.keep_alive) + _string(packet.client_id) + tail


def _string(text: str) -> bytes:
    return _data(text.encode())


def _data(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


def _remaining_length(length: int) -> bytes:
    encoded = bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        encoded.append(byte | 0x80 if length else byte)
        if not length:
            return bytes(encoded)
