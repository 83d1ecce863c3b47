"""What the session does that umqtt.simple has no idea of."""

import contextlib
import queue
import socket
import struct
from typing import Any

import pytest
from support.impostor import Impostor
from support.wire import receive

from .conftest import RunLeaf
from .session_kit import CONNACK, FASTER, SESSION, acknowledging, identifier, message, puback, server


def test_eight_publishes_are_in_flight_and_their_pubacks_come_in_any_order(leaf: RunLeaf) -> None:
    def backwards(connection: socket.socket, _number: int, told: Any) -> None:
        batch = [identifier(receive(connection)[1]) for _ in range(8)]
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            told.put(("too many", receive(connection)))
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
                first, body = receive(connection)
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
            FASTER
            + SESSION
            + """
session.keepalive = 60
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
    assert 10_000 <= elapsed < 20_000
    assert sorted(packets) == [(0x32, 1), (0x3A, 1), (0x82, 2), (0x82, 2)]


def test_an_inbound_message_is_acknowledged_after_its_handler_and_a_duplicate_is_marked(leaf: RunLeaf) -> None:
    def delivering(connection: socket.socket, _number: int, told: Any) -> None:
        connection.sendall(message(b"t", b"slow", 5, 0x3A))
        connection.settimeout(0.7)
        with contextlib.suppress(TimeoutError):
            told.put(("early", receive(connection)))
        connection.settimeout(10)
        told.put(receive(connection))

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


def test_what_is_posted_before_the_connack_waits_for_it(leaf: RunLeaf) -> None:
    """MQTT allows more than CONNECT here; AWS IoT closes the connection of a client that it then does not accept."""

    def hesitating(connection: socket.socket, _number: int) -> None:
        assert receive(connection)[0] == 0x10
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            told.put(("early", receive(connection)))
        connection.sendall(CONNACK)
        connection.settimeout(10)
        first, body = receive(connection)
        told.put((first, identifier(body)))
        connection.sendall(puback(identifier(body)))

    told: queue.Queue[Any] = queue.Queue()
    with Impostor(None, script=hesitating) as running:
        delivered = leaf(
            SESSION
            + """
async def main():
    connecting = asyncio.create_task(connect())
    done = asyncio.Event()
    while not session._stream:
        await asyncio.sleep(0)
    await session.post("t", b"x", False, lambda delivered: done.set())
    await connecting
    await done.wait()
    answer(True)
asyncio.run(main())
""",
            running.port,
        )
        assert delivered and told.get(timeout=5) == (0x32, 1)


def reading_only(connection: socket.socket, _number: int, told: Any) -> None:
    with contextlib.suppress(OSError):
        while True:
            told.put(receive(connection)[0])


def test_a_server_that_takes_everything_and_sends_nothing_is_noticed_while_telemetry_flows(leaf: RunLeaf) -> None:
    with server(reading_only) as (port, told):
        word, elapsed = leaf(
            SESSION
            + """
async def talk():
    while True:
        await session.publish("t", b"x")
        await asyncio.sleep_ms(200)
async def main():
    task, _ = await connect()
    started = time.ticks_ms()
    asyncio.create_task(talk())
    answer([await fault_of(task), time.ticks_diff(time.ticks_ms(), started)])
asyncio.run(main())
""",
            port,
        )
    sent = list(told.queue)
    assert word == "keep-alive"
    assert 3000 <= elapsed <= 5500  # 1.5 x 2 s, looked at every second
    assert sent.count(0xC0) == 1
    assert sent.count(0x30) > 10


def test_a_server_that_only_talks_is_still_sent_a_ping_within_the_keep_alive(leaf: RunLeaf) -> None:
    def talking(connection: socket.socket, _number: int, told: Any) -> None:
        connection.settimeout(0.3)
        for _ in range(30):
            connection.sendall(b"\x30\x04\x00\x01tx")
            with contextlib.suppress(TimeoutError):
                told.put(receive(connection)[0])

    with server(talking) as (port, told):
        leaf(
            SESSION
            + """
async def main():
    task, _ = await connect()
    answer(await fault_of(task))
asyncio.run(main())
""",
            port,
        )
        pings = list(told.queue)
    assert pings.count(0xC0) >= 2


def test_a_keep_alive_that_fails_ends_the_connection_instead_of_leaving_it_unwatched(leaf: RunLeaf) -> None:
    with server(acknowledging) as (port, _):
        raised = leaf(
            SESSION
            + """
def no_memory():
    raise MemoryError("every second")
session.on_second = no_memory
async def main():
    task, _ = await connect()
    try:
        await asyncio.wait_for(task, 5)
    except Exception as error:
        answer(type(error).__name__)
asyncio.run(main())
""",
            port,
        )
    assert raised == "MemoryError"


@pytest.mark.parametrize(
    ("codes", "cause"),
    [
        (b"", "codes [] for 2 filters"),
        (b"\x01", "codes [1] for 2 filters"),
        (b"\x01\x01\x01", "codes [1, 1, 1] for 2 filters"),
        (b"\x01\x03", "codes [1, 3] for 2 filters"),
    ],
)
def test_a_suback_that_does_not_fit_its_subscribe_ends_the_connection(leaf: RunLeaf, codes: bytes, cause: str) -> None:
    def malformed(connection: socket.socket, _number: int, _told: Any) -> None:
        _, body = receive(connection)
        connection.sendall(bytes([0x90, 2 + len(codes)]) + body[:2] + codes)
        receive(connection)

    with server(malformed) as (port, _):
        word, said = leaf(
            SESSION
            + """
async def main():
    task, _ = await connect()
    asyncio.create_task(session.subscribe([("f", 1), ("g", 1)]))
    try:
        await asyncio.wait_for(task, 5)
    except Fault as fault:
        answer([fault.word, fault.cause])
asyncio.run(main())
""",
            port,
        )
    assert word == "protocol"
    assert cause in said


@pytest.mark.parametrize("packet", ["SUBSCRIBE", "PUBLISH"])
def test_an_acknowledgement_that_never_comes_ends_the_connection_though_the_server_answers_everything_else(
    leaf: RunLeaf, packet: str
) -> None:
    def forgetful(connection: socket.socket, _number: int, _told: Any) -> None:
        with contextlib.suppress(OSError):
            while True:
                if receive(connection)[0] == 0xC0:
                    connection.sendall(b"\xd0\x00")

    send = {"SUBSCRIBE": 'session.subscribe([("f", 1)])', "PUBLISH": 'session.publish("f", b"x", False, 1)'}[packet]
    with server(forgetful) as (port, _):
        word, cause, elapsed = leaf(
            FASTER
            + SESSION
            + f"""
session.keepalive = 60
async def main():
    task, _ = await connect()
    started = time.ticks_ms()
    asyncio.create_task({send})
    try:
        await task
    except Fault as fault:
        answer([fault.word, fault.cause, time.ticks_diff(time.ticks_ms(), started)])
asyncio.run(main())
""",
            port,
        )
    assert word == "protocol"
    assert cause == f"no acknowledgement in 300 s of {packet} to f"
    assert 300_000 <= elapsed < 330_000
