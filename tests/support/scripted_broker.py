"""A broker for one device at a time, which keeps no session: a test says what it sends, and where it hangs up."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.pki.authority import Authority

from support.chains import HOST, Chain, make_chain
from support.device import BuiltDevice
from support.impostor import Impostor
from support.wire import receive


@dataclass(frozen=True)
class Published:
    """What the device published, and on its how manieth connection."""

    connection: int
    topic: str
    payload: bytes


class ScriptedBroker:
    """Answers everything as a broker does, and says session-present from the second connection on.

    ``hangs_up`` is asked for each PUBLISH whether to close in place of its PUBACK.
    """

    def __init__(self, hangs_up: Callable[[Published], bool] = lambda _: False) -> None:
        self.news = threading.Condition()
        self.published: list[Published] = []
        self.acknowledged: list[tuple[int, int]] = []
        """Connection and packet identifier of each PUBACK."""

        self.filters: list[str] = []
        self.connections = 0
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._hangs_up = hangs_up

    def script(self, connection: socket.socket, number: int) -> None:
        receive(connection)
        self._send(connection, b"\x20\x02" + bytes([number > 1, 0]))
        with self.news:
            self._connection, self.connections = connection, number
            self.news.notify_all()
        connection.settimeout(60)
        while self._answered(connection, number, *receive(connection)):
            pass

    def _answered(self, connection: socket.socket, number: int, first: int, body: bytes) -> bool:
        with self.news:
            answer = b""
            if first == 0x82:
                names = _filters(body)
                self.filters += names
                answer = b"\x90" + bytes([2 + len(names)]) + body[:2] + b"\x01" * len(names)
            elif first == 0xC0:
                answer = b"\xd0\x00"
            elif first == 0x40:
                self.acknowledged.append((number, int.from_bytes(body, "big")))
            elif first & 0xF0 == 0x30:
                at = 2 + int.from_bytes(body[:2], "big")
                message = Published(number, body[2:at].decode(), body[at + 2 :])
                if self._hangs_up(message):
                    return False
                self.published.append(message)
                answer = b"\x40\x02" + body[at : at + 2]
            self.news.notify_all()
        self._send(connection, answer)
        return True

    def send(self, topic: str | bytes, payload: bytes, identifier: int, duplicate: bool = False) -> None:
        """PUBLISH to the device, with QoS 1."""
        name = topic.encode() if isinstance(topic, str) else topic
        body = struct.pack("!H", len(name)) + name + struct.pack("!H", identifier) + payload
        assert self._connection and len(body) < 128 * 128
        length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 0x80, len(body) // 128])
        self._send(self._connection, bytes([0x3A if duplicate else 0x32]) + length + body)

    def command(self, thing: str, identifier: str, name: str, number: int, arguments: object = None) -> None:
        """Send a command to the thing."""
        request = {"id": identifier, "command": name, "arguments": arguments}
        self.send(f"cmd/leaf/{thing}/request", json.dumps(request).encode(), number)

    def replies(self, identifier: str) -> list[Any]:
        """The device's answers to that command."""
        found = [json.loads(one.payload) for one in self.published if one.topic.endswith("/response")]
        return [reply for reply in found if reply["id"] == identifier]

    def hang_up(self) -> None:
        """Close the connection."""
        assert self._connection
        self._connection.shutdown(socket.SHUT_RDWR)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 30) -> None:
        """Return once it holds. Raises AssertionError."""
        with self.news:
            assert self.news.wait_for(condition, timeout), (self.published, self.acknowledged)

    def _send(self, connection: socket.socket, data: bytes) -> None:
        with self._sending:
            connection.sendall(data)


def _filters(body: bytes) -> list[str]:
    names, at = [], 2
    while at < len(body):
        length = int.from_bytes(body[at : at + 2], "big")
        names.append(body[at + 2 : at + 2 + length].decode())
        at += 3 + length
    return names


class Devices:
    """Makes devices of an application's text, and boots them with a broker."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self._directory, self._authority = directory, authority
        self._chain: Chain = make_chain()

    @contextlib.contextmanager
    def booted(
        self, broker: ScriptedBroker, thing: str, text: str, config: dict[str, Any] | None = None, **world: Any
    ) -> Iterator[VirtualBoard]:
        """The board of a thing with this application; its flash is kept from boot to boot."""
        root, application = self._directory / "root.crt", self._directory / f"{thing}.py"
        root.write_bytes(self._chain.root.public_bytes(Encoding.PEM))
        application.write_text(text)
        with Impostor(self._chain.sent, self._chain.key, script=broker.script) as server:
            device = BuiltDevice(
                self._directory,
                self._authority.issue(thing),
                {"endpoint": HOST, "port": server.port, **(config or {})},
                root,
                {HOST: "127.0.0.1"},
                application=application,
            )
            with device.boot(**world) as board:
                yield board
