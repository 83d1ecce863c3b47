"""The session over connections that end badly: a scripted server, real TLS, the real Unix port."""

import queue
import socket
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki.authority import Authority
from support.chains import HOST, make_chain
from support.device import BuiltDevice, fault_line
from support.impostor import Impostor
from support.wire import Packet, receive

CONNACK_NEW, CONNACK_PRESENT = b"\x20\x02\x00\x00", b"\x20\x02\x01\x00"


def telemetry(packet: Packet) -> tuple[bool, bytes]:
    """DUP and packet identifier of a PUBLISH."""
    first, body = packet
    end = 2 + int.from_bytes(body[:2], "big")
    return bool(first & 0x08), body[end : end + 2]


def is_telemetry(packet: Packet) -> bool:
    return packet[0] & 0xF0 == 0x30 and b"/climate" in packet[1]


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> BuiltDevice:
    chain = make_chain()
    root = tmp_path / "root.crt"
    root.write_bytes(chain.root.public_bytes(Encoding.PEM))
    device = BuiltDevice(tmp_path, authority.issue("session-1"), {}, root, {HOST: "127.0.0.1"})
    device.chain = chain  # type: ignore[attr-defined]
    return device


def served(device: BuiltDevice, script: object) -> Impostor:
    chain = device.chain  # type: ignore[attr-defined]
    server = Impostor(chain.sent, chain.key, script=script)  # type: ignore[arg-type]
    device.config = {"endpoint": HOST, "port": server.port}
    return server


def test_a_reading_without_its_puback_is_sent_again_after_a_reconnect_marked_and_under_its_number(
    device: BuiltDevice,
) -> None:
    seen: queue.Queue[Packet] = queue.Queue()

    def script(connection: socket.socket, number: int) -> None:
        assert receive(connection)[0] == 0x10
        connection.sendall(CONNACK_NEW if number == 1 else CONNACK_PRESENT)
        while True:
            packet = receive(connection)
            if is_telemetry(packet):
                seen.put(packet)
                return  # hangs up without a PUBACK

    with served(device, script), device.boot():
        first, second = seen.get(timeout=20), seen.get(timeout=20)
    assert telemetry(first)[0] is False
    assert telemetry(second) == (True, telemetry(first)[1])
    assert first[1] == second[1]


def test_nothing_but_connect_is_sent_before_the_connack(device: BuiltDevice) -> None:
    """MQTT would allow it; a server that authorizes on CONNECT takes the rest for an intruder."""
    first: queue.Queue[Packet] = queue.Queue()
    later: queue.Queue[bytes] = queue.Queue()

    def script(connection: socket.socket, _number: int) -> None:
        first.put(receive(connection))
        connection.settimeout(1.5)
        try:
            later.put(connection.recv(1))
        except TimeoutError:
            later.put(b"")

    with served(device, script), device.boot():
        assert first.get(timeout=20)[0] == 0x10
        assert later.get(timeout=20) == b""


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"\x20\x02\x00\x05", "not authorized"),
        (b"\x20\x02\x00\x02", "client ID"),
        (b"\x30\x03\x00\x01a", "no CONNACK"),
        (b"\xf0\xff\xff\xff\xff\xff", "more than 4 bytes"),
    ],
)
def test_a_wrong_answer_to_connect_is_named_and_tried_again(device: BuiltDevice, answer: bytes, cause: str) -> None:
    def script(connection: socket.socket, _number: int) -> None:
        receive(connection)
        connection.sendall(answer)
        connection.settimeout(5)
        connection.recv(1)

    with served(device, script), device.boot() as board:
        line = fault_line(board, "(connect-refused|protocol)")
        board.wait_for("backoff: ")
    assert cause in line


def test_a_malformed_packet_ends_the_connection_and_not_the_device(device: BuiltDevice) -> None:
    def script(connection: socket.socket, _number: int) -> None:
        receive(connection)
        connection.sendall(CONNACK_NEW)
        connection.sendall(b"\x36\x05\x00\x01tab")  # a PUBLISH with QoS 3
        while True:
            receive(connection)

    with served(device, script), device.boot() as board:
        assert "QoS 3" in fault_line(board, "protocol")
        since = len(board.lines)
        board.wait_for("mqtt: connected", since=since)


def test_a_suback_without_codes_ends_the_connection_and_the_next_one_is_online(device: BuiltDevice) -> None:
    def script(connection: socket.socket, number: int) -> None:
        receive(connection)
        connection.sendall(CONNACK_NEW)
        while True:
            first, body = receive(connection)
            if first == 0x82:
                codes = bytes([1]) if number > 1 else b""
                connection.sendall(bytes([0x90, 2 + len(codes)]) + body[:2] + codes)

    with served(device, script), device.boot() as board:
        assert "SUBACK with the codes [] for 1 filters" in fault_line(board, "protocol")
        board.wait_for("mqtt: subscribed to ")


def test_a_suback_that_never_comes_ends_the_connection_and_the_next_one_is_online(device: BuiltDevice) -> None:
    def script(connection: socket.socket, number: int) -> None:
        receive(connection)
        connection.sendall(CONNACK_NEW)
        while True:
            first, body = receive(connection)
            if first == 0x82 and number > 1:
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
            elif first & 0xF0 == 0x30:
                connection.sendall(b"\x40\x02" + telemetry((first, body))[1])
            elif first == 0xC0:
                connection.sendall(b"\xd0\x00")

    with served(device, script), device.boot(speed=100) as board:
        line = fault_line(board, "protocol")
        assert "no acknowledgement in 300 s of SUBSCRIBE to cmd/leaf/session-1/request" in line
        board.wait_for("mqtt: subscribed to ")


BURST = """
from leaf import Device

device = Device()

@device.telemetry(every=3600)
def climate():
    for n in range(150):
        device.record("climate", {"n": n})
    return {"n": 150}

device.run()
"""


def test_a_backlog_leaves_with_fewer_than_a_hundred_messages_in_any_second(device: BuiltDevice) -> None:
    """AWS IoT drops what exceeds 100 a second of one connection."""
    device.application = device.directory / "application.py"
    device.application.write_text(BURST)
    times: list[float] = []
    whole = threading.Event()

    def script(connection: socket.socket, _number: int) -> None:
        receive(connection)
        connection.sendall(CONNACK_NEW)
        while True:
            first, body = receive(connection)
            if first == 0x82:
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
            elif first & 0xF0 == 0x30:
                times.append(time.monotonic())
                if len(times) == 150:
                    whole.set()
                connection.sendall(b"\x40\x02" + telemetry((first, body))[1])

    with served(device, script), device.boot():
        assert whole.wait(20)
    assert min(times[at + 99] - times[at] for at in range(len(times) - 99)) > 1
