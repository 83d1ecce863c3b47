"""The session beside the client it is built on: each defect of umqtt.simple shown on umqtt.simple, and mended in Session.

Plain TCP, so that a script sees the bytes; TLS has its own tests.
"""

import contextlib
import queue
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from support.impostor import Impostor

from .conftest import RunLeaf

PLAIN = """
from umqtt.simple import MQTTClient
client = MQTTClient("thing-1", "127.0.0.1", given, keepalive=2)
seen = []
client.set_callback(lambda topic, payload: seen.append([topic.decode(), payload.decode()]))
client.connect()
"""

SESSION = """
import asyncio, time
from leaf.faults import Fault
from leaf.mqtt import Session

class Plain:
    writes = 0
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
    async def read(self, size):
        return await self.reader.read(size)
    async def write(self, data):
        Plain.writes += 1
        self.writer.write(data)
        await self.writer.drain()
    def close(self):
        self.writer.close()

seen = []
async def on_message(topic, payload, duplicate):
    seen.append([topic.decode(), payload.decode(), duplicate])

session = Session("thing-1", "127.0.0.1", given, 2, on_message)

async def connect():
    # Returns the task that serves the connection, and session-present.
    stream = Plain(*await asyncio.open_connection("127.0.0.1", given))
    present = await session.connect(stream, 5)
    return asyncio.create_task(session.run()), present

async def fault_of(task):
    try:
        await task
    except Fault as fault:
        session.close()
        return fault.word
"""

CONNACK = b"\x20\x02\x00\x00"
Packet = tuple[int, bytes]


def packet(connection: socket.socket) -> Packet:
    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            if not more:
                raise OSError("hung up")
            data += more
        return data

    first, length = exactly(1)[0], 0
    for shift in (0, 7, 14, 21):
        byte = exactly(1)[0]
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return first, exactly(length)


def identifier(body: bytes) -> int:
    end = 2 + int.from_bytes(body[:2], "big")
    return int.from_bytes(body[end : end + 2], "big")


def puback(number: int) -> bytes:
    return struct.pack("!BBH", 0x40, 2, number)


def message(topic: bytes, payload: bytes, number: int = 1, first: int = 0x32) -> bytes:
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", number) + payload
    return bytes([first, len(body)]) + body


@contextlib.contextmanager
def server(script: Any) -> Iterator[tuple[int, "queue.Queue[Any]"]]:
    """A server that answers CONNECT and then runs ``script(connection, number, told)``; ``told`` is a queue for the test."""
    told: queue.Queue[Any] = queue.Queue()

    def serve(connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert packet(connection)[0] == 0x10
        connection.sendall(CONNACK)
        script(connection, number, told)

    with Impostor(None, script=serve) as running:
        yield running.port, told


def until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def test_umqtt_works_where_nothing_goes_wrong(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told):
        assert leaf(PLAIN + "client.publish(b't', b'x', qos=1)\nanswer('acknowledged')", port) == "acknowledged"
        assert told.get(timeout=5) == 1


NEWER = """
import sys
class MQTTClient:  # what umqtt.simple 1.4 and later have in common with 1.3.4, and no method that works
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        self.client_id = client_id
        self.sock = None
        self.server = server
        self.port = port
        self.ssl = ssl
        self.pid = 0
        self.cb = None
        self.user = user
        self.pswd = password
        self.keepalive = keepalive
        self.lw_topic = None
        self.lw_msg = None
        self.lw_qos = 0
        self.lw_retain = False
    def set_last_will(self, topic, msg, retain=False, qos=0):
        self.lw_topic = topic
        self.lw_msg = msg
        self.lw_qos = qos
        self.lw_retain = retain
class Module:
    pass
simple = Module()
simple.MQTTClient = MQTTClient
sys.modules["umqtt.simple"] = simple
sys.modules["umqtt"] = Module()
"""


def test_a_session_needs_nothing_of_umqtt_but_its_settings_whatever_its_version(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told):
        assert leaf(
            NEWER
            + SESSION
            + """
session.set_last_will("status", b"gone", retain=True, qos=1)
async def main():
    await connect()
    await session.publish("t", b"x", False, 1)
    await session.disconnect()
    answer(MQTTClient is Session.__bases__[0])
asyncio.run(main())
""",
            port,
        )
        assert told.get(timeout=5) == 1


# --- the wait for a PUBACK has no bound


def silent(connection: socket.socket, _number: int, _told: Any) -> None:
    until_closed(connection)


def test_umqtt_waits_for_ever_for_a_puback(leaf: RunLeaf) -> None:
    with server(silent) as (port, _), pytest.raises(subprocess.TimeoutExpired):
        leaf(PLAIN + "client.publish(b't', b'x', qos=1)\nanswer('came back')", port, timeout=4)


def test_a_session_ends_a_connection_that_went_silent_within_one_and_a_half_keep_alives(leaf: RunLeaf) -> None:
    with server(silent) as (port, _):
        word, elapsed = leaf(
            SESSION
            + """
async def main():
    task, _ = await connect()
    started = time.ticks_ms()
    asyncio.create_task(session.publish("t", b"x", False, 1))
    answer([await fault_of(task), time.ticks_diff(time.ticks_ms(), started)])
asyncio.run(main())
""",
            port,
        )
    assert word == "keep-alive"
    assert 2000 <= elapsed <= 4500  # 1.5 x 2 s, looked at every second


# --- identifiers


def acknowledging(connection: socket.socket, _number: int, told: Any) -> None:
    with contextlib.suppress(OSError):
        while True:
            first, body = packet(connection)
            if first & 0xF0 == 0x30:
                told.put(identifier(body))
                connection.sendall(puback(identifier(body)))


def test_umqtt_counts_past_the_last_identifier(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told), pytest.raises(subprocess.TimeoutExpired):
        leaf(PLAIN + "client.pid = 65535\nclient.publish(b't', b'x', qos=1)\nanswer(1)", port, timeout=3)
    assert told.get(timeout=5) == 0  # which is forbidden (MQTT 3.1.1 section 2.3.1), and is no answer to its own count


def test_a_session_wraps_from_65535_to_1_and_skips_what_is_in_flight(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told):
        leaf(
            SESSION
            + """
async def main():
    task, _ = await connect()
    session._in_flight[1] = [bytearray(b"\\x32"), None, None, ""]
    session.pid = 65534
    for n in range(2):
        await session.publish("t", b"x", False, 1)
    answer(1)
asyncio.run(main())
""",
            port,
        )
        assert [told.get(timeout=5) for _ in range(2)] == [65535, 2]


# --- acknowledgements that nobody waits for


def stray(connection: socket.socket, _number: int, _told: Any) -> None:
    connection.sendall(puback(77) + b"\x90\x03\x00\x4d\x01" + message(b"t", b"after"))
    until_closed(connection)


def test_umqtt_loses_its_place_in_the_stream_at_a_stray_acknowledgement(leaf: RunLeaf) -> None:
    with server(stray) as (port, _), contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
        found = leaf(PLAIN + "for n in range(3): client.wait_msg()\nanswer(seen)", port, timeout=3)
        assert found != [["t", "after"]]


def test_a_session_drops_a_stray_acknowledgement_whole(leaf: RunLeaf) -> None:
    with server(stray) as (port, _):
        found = leaf(
            SESSION
            + """
async def main():
    await connect()
    while not seen:
        await asyncio.sleep_ms(10)
    answer(seen)
asyncio.run(main())
""",
            port,
        )
    assert found == [["t", "after", False]]


# --- a packet that comes in pieces


def in_pieces(connection: socket.socket, _number: int, told: Any) -> None:
    data = message(b"t", b"in pieces")
    connection.sendall(data[:1])
    told.put("begun")
    connection.settimeout(1)
    with contextlib.suppress(OSError):
        connection.recv(1)
    connection.settimeout(10)
    connection.sendall(data[1:])
    until_closed(connection)


def test_umqtt_stops_everything_until_the_rest_of_a_packet_is_there(leaf: RunLeaf) -> None:
    with server(in_pieces) as (port, _):
        longest, found = leaf(
            PLAIN
            + """
import time
longest = 0
while not seen:
    before = time.ticks_ms()
    client.check_msg()
    longest = max(longest, time.ticks_diff(time.ticks_ms(), before))
answer([longest, seen])
""",
            port,
        )
    assert found == [["t", "in pieces"]]
    assert longest > 800


def test_a_session_lets_others_work_until_the_rest_of_a_packet_is_there(leaf: RunLeaf) -> None:
    with server(in_pieces) as (port, _):
        longest, found = leaf(
            SESSION
            + """
async def main():
    await connect()
    longest = 0
    while not seen:
        before = time.ticks_ms()
        await asyncio.sleep_ms(1)
        longest = max(longest, time.ticks_diff(time.ticks_ms(), before))
    answer([longest, seen])
asyncio.run(main())
""",
            port,
        )
    assert found == [["t", "in pieces", False]]
    assert longest < 500


# --- SUBSCRIBE


def subscribing(connection: socket.socket, _number: int, told: Any) -> None:
    connection.settimeout(1)
    with contextlib.suppress(OSError):
        while True:
            first, body = packet(connection)
            told.put((first, body))
            if first == 0x82:
                count, at = 0, 2
                while at < len(body):
                    at += 3 + int.from_bytes(body[at : at + 2], "big")
                    count += 1
                connection.sendall(bytes([0x90, 2 + count]) + body[:2] + bytes([1] * (count - 1)) + b"\x80")
    told.put(None)


def test_umqtt_cannot_name_a_filter_of_128_bytes(leaf: RunLeaf) -> None:
    with server(subscribing) as (port, told), contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
        leaf(PLAIN + "client.subscribe(b'f' * 128)\nanswer(1)", port, timeout=3)
    first = told.get(timeout=5)
    assert first is None or first[1][4:] != b"f" * 128 + b"\x00"


def test_a_session_subscribes_to_eight_filters_a_packet_and_names_the_one_refused(leaf: RunLeaf) -> None:
    with server(subscribing) as (port, told):
        refused = leaf(
            SESSION
            + """
async def main():
    await connect()
    try:
        await session.subscribe([("f%d" % n + "f" * 128, 1) for n in range(10)])
    except Fault as fault:
        answer(fault.cause)
asyncio.run(main())
""",
            port,
        )
        packets = [told.get(timeout=5), told.get(timeout=5)]
    assert [body.count(b"f" * 128) for _, body in packets] == [8, 2]
    assert "f7" + "f" * 128 in refused
    assert "f9" + "f" * 128 in refused
    assert "f8" + "f" * 128 not in refused


# --- writes


def test_umqtt_writes_a_publish_in_five_pieces_and_a_session_in_one(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, _):
        pieces = leaf(
            PLAIN
            + """
class Counting:
    writes = 0
    def __init__(self, sock):
        self.sock = sock
    def write(self, *data):
        Counting.writes += 1
        return self.sock.write(*data)
    def read(self, size):
        return self.sock.read(size)
    def setblocking(self, flag):
        self.sock.setblocking(flag)
client.sock = Counting(client.sock)
client.publish(b"t", b"x", qos=1)
answer(Counting.writes)
""",
            port,
        )
    with server(acknowledging) as (port, _):
        ours = leaf(
            SESSION
            + """
async def main():
    await connect()
    before = Plain.writes
    await session.publish("t", b"x", False, 1)
    answer(Plain.writes - before)
asyncio.run(main())
""",
            port,
        )
    assert (pieces, ours) == (5, 1)


# --- what umqtt.simple has no idea of


def test_eight_publishes_are_in_flight_and_their_pubacks_come_in_any_order(leaf: RunLeaf) -> None:
    def backwards(connection: socket.socket, _number: int, told: Any) -> None:
        batch = [identifier(packet(connection)[1]) for _ in range(8)]
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            told.put(("too many", packet(connection)))
        connection.settimeout(10)
        connection.sendall(b"".join(puback(number) for number in reversed(batch)))
        acknowledging(connection, 1, told)

    with server(backwards) as (port, told):
        order = leaf(
            SESSION
            + """
async def main():
    await connect()
    order = []
    async def one(n):
        await session.publish("t", b"%d" % n, False, 1)
        order.append(n)
    tasks = [asyncio.create_task(one(n)) for n in range(9)]
    for task in tasks:
        await task
    answer(order)
asyncio.run(main())
""",
            port,
        )
        later = told.get(timeout=5)
    assert sorted(order) == list(range(9))
    assert later == 9


def test_an_unanswered_packet_goes_again_on_the_same_connection_after_ten_seconds(leaf: RunLeaf) -> None:
    def forgetful(connection: socket.socket, _number: int, told: Any) -> None:
        seen: dict[int, int] = {}
        connection.settimeout(20)
        with contextlib.suppress(OSError):
            while True:
                first, body = packet(connection)
                if first == 0xC0:
                    connection.sendall(b"\xd0\x00")
                    continue
                kind = first & 0xF0
                number = identifier(body) if kind == 0x30 else int.from_bytes(body[:2], "big")
                seen[kind] = seen.get(kind, 0) + 1
                told.put((first, number))
                if seen[kind] == 2:
                    connection.sendall(puback(number) if kind == 0x30 else struct.pack("!BBHB", 0x90, 3, number, 1))

    with server(forgetful) as (port, told):
        elapsed = leaf(
            SESSION
            + """
async def main():
    await connect()
    started = time.ticks_ms()
    subscribing = asyncio.create_task(session.subscribe([("f", 1)]))
    await session.publish("t", b"x", False, 1)
    await subscribing
    answer(time.ticks_diff(time.ticks_ms(), started))
asyncio.run(main())
""",
            port,
        )
        packets = [told.get(timeout=5) for _ in range(4)]
    assert 10_000 <= elapsed < 13_000
    assert sorted(packets) == [(0x32, 1), (0x3A, 1), (0x82, 2), (0x82, 2)]


def test_an_inbound_message_is_acknowledged_after_its_handler_and_a_duplicate_is_marked(leaf: RunLeaf) -> None:
    def delivering(connection: socket.socket, _number: int, told: Any) -> None:
        connection.sendall(message(b"t", b"slow", 5, 0x3A))
        connection.settimeout(0.7)
        with contextlib.suppress(TimeoutError):
            told.put(("early", packet(connection)))
        connection.settimeout(10)
        told.put(packet(connection))

    with server(delivering) as (port, told):
        found = leaf(
            SESSION
            + """
async def on_message(topic, payload, duplicate):
    await asyncio.sleep_ms(1200)
    seen.append([topic.decode(), payload.decode(), duplicate])
session.on_message = on_message
async def main():
    task, _ = await connect()
    await fault_of(task)
    answer(seen)
asyncio.run(main())
""",
            port,
        )
        assert told.get(timeout=5) == (0x40, b"\x00\x05")
    assert found == [["t", "slow", True]]


@pytest.mark.parametrize(("after", "proven"), [(0, False), (5.2, True)])
def test_the_first_puback_after_five_seconds_proves_a_connection_and_an_earlier_one_does_not(
    leaf: RunLeaf, after: float, proven: bool
) -> None:
    with server(acknowledging) as (port, _):
        assert (
            leaf(
                SESSION
                + f"""
session.keepalive = 60
async def main():
    await connect()
    await asyncio.sleep({after})
    await session.publish("t", b"x", False, 1)
    answer(session.proven())
asyncio.run(main())
""",
                port,
            )
            is proven
        )
