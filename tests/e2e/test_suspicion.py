"""A server that hangs up after a PUBLISH: whether it is the topic or the link, no reading is lost by the suspicion."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki.authority import Authority
from support.chains import HOST, make_chain
from support.device import BuiltDevice, fault_line, no_line
from support.impostor import Impostor
from support.wire import receive

STREAMS = ("meter", "climate", "door", "light")
APPLICATION = """
from leaf import Device, REFUSE_NEW

device = Device()
counts = {}

def count(stream):
    counts[stream] = counts.get(stream, 0) + 1
    return {"n": counts[stream]}

@device.telemetry(every=20, full=REFUSE_NEW)
def meter():
    return count("meter")

@device.telemetry(every=20)
def climate():
    return count("climate")

@device.telemetry(every=20)
def door():
    return count("door")

@device.telemetry(every=20, full=REFUSE_NEW)
def light():
    return count("light")

device.run()
"""


class Broker:
    """Acknowledges, unless ``hangs_up(number of the connection, stream)`` says to close in place of that."""

    def __init__(self, hangs_up: Callable[[int, str], bool]) -> None:
        self.got: dict[str, list[int]] = {stream: [] for stream in STREAMS}
        self.sent: list[tuple[int, str]] = []
        self.news = threading.Condition()
        self._hangs_up = hangs_up

    def script(self, connection: socket.socket, number: int) -> None:
        receive(connection)
        connection.sendall(b"\x20\x02" + bytes([number > 1, 0]))
        while True:
            first, body = receive(connection)
            if first == 0x82:
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
            elif first == 0xC0:
                connection.sendall(b"\xd0\x00")
            elif first & 0xF6 == 0x32:
                at = 2 + int.from_bytes(body[:2], "big")
                stream = body[2:at].decode().rpartition("/")[2]
                with self.news:
                    self.sent.append((number, stream))
                    if self._hangs_up(number, stream):
                        return
                    if stream in self.got:
                        self.got[stream].append(json.loads(body[at + 2 :])["n"])
                    self.news.notify_all()
                connection.sendall(b"\x40\x02" + body[at : at + 2])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.news:
            assert self.news.wait_for(condition, 40), self.got

    def whole(self) -> bool:
        """Whether each stream arrived without a gap, and goes on."""
        return all(len(set(numbers)) == max(numbers, default=0) >= 10 for numbers in self.got.values())


BoardOf = Callable[[Broker], tuple[Impostor, BuiltDevice]]


@pytest.fixture
def board_of(tmp_path: Path, authority: Authority) -> BoardOf:
    chain = make_chain()
    root, application = tmp_path / "root.crt", tmp_path / "application.py"
    root.write_bytes(chain.root.public_bytes(Encoding.PEM))
    application.write_text(APPLICATION)

    def make(broker: Broker) -> tuple[Impostor, BuiltDevice]:
        server = Impostor(chain.sent, chain.key, script=broker.script)
        config = {"endpoint": HOST, "port": server.port, "outbox_ram": 4096}
        return server, BuiltDevice(
            tmp_path, authority.issue("suspect-1"), config, root, {HOST: "127.0.0.1"}, application=application
        )

    return make


def test_twelve_short_connections_lose_no_reading_of_any_stream(board_of: BoardOf) -> None:
    broker = Broker(lambda number, stream: number <= 12)
    server, device = board_of(broker)
    with server, device.boot(speed=50) as board:
        board.wait_for("before attempt 1[2-9]", 60)
        broker.wait_for(broker.whole)
        assert no_line(board, ["refused: full"])


def test_a_denied_topic_waits_and_the_others_go_on_until_the_policy_allows_it(board_of: BoardOf) -> None:
    allowed = threading.Event()
    broker = Broker(lambda _number, stream: stream == "meter" and not allowed.is_set())
    server, device = board_of(broker)
    with server, device.boot(speed=50) as board:
        assert "PUBLISH to dt/leaf/suspect-1/meter" in fault_line(board, "policy-denied")
        board.wait_for("dt/leaf/suspect-1/meter is set aside for 10 s")
        board.wait_for("dt/leaf/suspect-1/meter is set aside for 40 s")
        board.wait_for("dt/leaf/suspect-1/meter is set aside for 160 s")
        with broker.news:
            assert [stream for stream in STREAMS if broker.got[stream]] == ["climate", "door", "light"]
            assert all(broker.got[stream] == sorted(set(broker.got[stream])) for stream in STREAMS)  # none twice
        allowed.set()
        broker.wait_for(broker.whole)
        assert no_line(board, ["climate is set aside", "door is set aside", "light is set aside"])
