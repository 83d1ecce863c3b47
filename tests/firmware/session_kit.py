"""A scripted server without TLS, and the beginnings of two clients under the Unix port: umqtt.simple's and the session's."""

import contextlib
import queue
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.impostor import Impostor
from support.wire import receive

PLAIN = """
from umqtt.simple import MQTTClient
client = MQTTClient("thing-1", "127.0.0.1", given, keepalive=2)
seen = []
client.set_callback(lambda topic, payload: seen.append([topic.decode(), payload.decode()]))
client.connect()
"""

SESSION = (Path(__file__).parents[0] / "scripts" / "session.py").read_text()

FASTER = """
import laboratory
laboratory.power_on({"speed": 100})
"""
"""Comes before SESSION: its time runs a hundred times faster than the test's."""

CONNACK = b"\x20\x02\x00\x00"


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
        assert receive(connection)[0] == 0x10
        connection.sendall(CONNACK)
        script(connection, number, told)

    with Impostor(None, script=serve) as running:
        yield running.port, told


def until_closed(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


def acknowledging(connection: socket.socket, _number: int, told: Any) -> None:
    with contextlib.suppress(OSError):
        while True:
            first, body = receive(connection)
            if first & 0xF0 == 0x30:
                told.put(identifier(body))
                connection.sendall(puback(identifier(body)))
