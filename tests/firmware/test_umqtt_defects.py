"""Each defect of umqtt.simple shown on umqtt.simple, and mended in Session, which is built on it.

Plain TCP, so that a script sees the bytes; TLS has its own tests.
"""

import contextlib
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.wire import receive

from .conftest import RunLeaf
from .session_kit import PLAIN, SESSION, acknowledging, message, puback, server, until_closed


def test_umqtt_works_where_nothing_goes_wrong(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told):
        assert leaf(PLAIN + "client.publish(b't', b'x', qos=1)\nanswer('acknowledged')", port) == "acknowledged"
        assert told.get(timeout=5) == 1


NEWER = (Path(__file__).parent / "scripts" / "newer_umqtt.py").read_text()


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


def test_umqtt_counts_past_the_last_identifier(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told), pytest.raises(subprocess.TimeoutExpired):
        leaf(PLAIN + "client.pid = 65535\nclient.publish(b't', b'x', qos=1)\nanswer(1)", port, timeout=3)
    assert told.get(timeout=5) == 0  # which is forbidden (MQTT 3.1.1 section 2.3.1), and is no answer to its own count


def test_a_session_wraps_from_65535_to_1_and_skips_what_is_in_flight(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, told):
        leaf(
            SESSION
            + """
from leaf.mqtt import Flight
async def main():
    task, _ = await connect()
    session.in_flight[1] = Flight(bytearray(b"\\x32"), "", None)
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
    with server(stray) as (port, _):
        assert leaf(PLAIN + "for n in range(3): client.wait_msg()\nanswer(seen)", port) == []  # the message is gone


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
            first, body = receive(connection)
            told.put((first, body))
            if first == 0x82:
                count, at = 0, 2
                while at < len(body):
                    at += 3 + int.from_bytes(body[at : at + 2], "big")
                    count += 1
                connection.sendall(bytes([0x90, 2 + count]) + body[:2] + bytes([1] * (count - 1)) + b"\x80")
    told.put(None)


def test_umqtt_cannot_name_a_filter_of_128_bytes(leaf: RunLeaf) -> None:
    with server(subscribing) as (port, told):
        outcome = "try:\n    client.subscribe(b'f' * 128)\nexcept AssertionError:\n    answer('asserts')"
        assert leaf(PLAIN + outcome, port) == "asserts"
        assert told.get(timeout=5) == (0x82, b"\x01\x00\x80ff")  # cut off: its length went into one byte


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
