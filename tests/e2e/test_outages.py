"""A device behind a bad network: a real mosquitto over mutual TLS, a proxy that does what networks do."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rootlet.pki.authority import Authority
from support.chains import HOST
from support.device import BuiltDevice, fault_line
from support.mosquitto import Mosquitto, Watcher, needs_mosquitto
from support.proxy import FaultyProxy

pytestmark = needs_mosquitto

COUNTER = (Path(__file__).parents[1] / "apps" / "counter.py").read_text()


def counting(seconds: float) -> str:
    """The application that counts so often."""
    return COUNTER.replace("EVERY = 1 ", f"EVERY = {seconds} ")


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, authority) as running:
        yield running


@pytest.fixture
def watcher(broker: Mosquitto) -> Iterator[Watcher]:
    with Watcher(broker.plain_port) as watching:
        yield watching


@pytest.fixture
def proxy(broker: Mosquitto) -> Iterator[FaultyProxy]:
    with FaultyProxy(broker.port) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, broker: Mosquitto, proxy: FaultyProxy, authority: Authority) -> BuiltDevice:
    application = tmp_path / "counter.py"
    application.write_text(counting(0.1))
    config = {"endpoint": HOST, "port": proxy.port, "keep_alive": 30}
    return BuiltDevice(
        tmp_path, authority.issue("thing-1"), config, broker.root, {HOST: "127.0.0.1"}, application=application
    )


def numbers(watcher: Watcher) -> list[int]:
    return [reading["n"] for reading in watcher.on("/counter")]


def whole(watcher: Watcher, up_to: int) -> bool:
    """Whether every reading from 1 on has arrived."""
    return set(numbers(watcher)) >= set(range(1, up_to + 1))


def test_readings_made_while_the_link_is_down_arrive_when_it_is_back(
    device: BuiltDevice, proxy: FaultyProxy, watcher: Watcher
) -> None:
    with device.boot() as board:
        watcher.wait_for(lambda: len(numbers(watcher)) >= 3)
        proxy.down = True
        fault_line(board, "(connection-lost|tcp|tls-no-tls)")
        down_at = len(numbers(watcher))
        board.wait_for("backoff: .* attempt 3")
        assert len(numbers(watcher)) == down_at
        proxy.down = False
        last = watcher.wait_for(lambda: len(numbers(watcher)) > down_at and max(numbers(watcher)))
        watcher.wait_for(lambda: whole(watcher, last))
        report = watcher.wait_for(lambda: [r for r in watcher.on("/faults") if r["counts"]])[0]
    assert report["text"].startswith("offline ")
    assert sum(report["counts"].values()) >= 2
    assert report["c_heap"].keys() == {"free", "largest", "lowest"}
    assert report["last"]
    assert report["dropped"] == {}


def test_one_byte_at_a_time_is_enough(device: BuiltDevice, proxy: FaultyProxy, watcher: Watcher) -> None:
    proxy.fragment = 1
    with device.boot():
        watcher.wait_for(lambda: whole(watcher, 10))


def test_a_reboot_in_an_outage_loses_nothing_that_was_written_down(
    device: BuiltDevice, proxy: FaultyProxy, watcher: Watcher
) -> None:
    device.config = {**device.config, "outbox_ram": 1024}
    with device.boot() as board:
        watcher.wait_for(lambda: len(numbers(watcher)) >= 3)
        proxy.down = True
        board.wait_for("fault: ")
        board.wait_for("backoff: .* attempt 3")  # by now some 1024 bytes of readings went to flash
    flashed = {json.dumps({"n": n}) for n in range(1, 4)}
    assert flashed
    before = max(numbers(watcher))
    proxy.down = False
    with device.boot() as board:
        board.wait_for("mqtt: connected")
        # The second boot counts from 1 again: what comes above it is the first boot's.
        watcher.wait_for(lambda: [n for n in numbers(watcher) if n > before + 5])
        report = watcher.wait_for(lambda: [r for r in watcher.on("/faults") if r["counts"]])[0]
    late = sorted({n for n in numbers(watcher) if n > before})
    assert late[0] == before + 1
    assert late == list(range(late[0], late[-1] + 1))
    assert report["reset"] == "pwron"


def test_a_session_that_the_server_kept_is_taken_up_again(device: BuiltDevice, proxy: FaultyProxy, watcher: Watcher) -> None:
    with device.boot() as board:
        board.wait_for("session new")
        board.wait_for("mqtt: subscribed")
        watcher.wait_for(lambda: numbers(watcher))
        since = len(board.lines)
        proxy.cut()
        board.wait_for("session present", since=since)
        watcher.publish("cmd/leaf/thing-1/request", json.dumps({"id": "7", "command": "echo", "arguments": 5}).encode())
        assert watcher.wait_for(lambda: watcher.on("/response"))[0] == {"id": "7", "status": "ok", "result": 5}


def test_a_command_that_the_heap_cannot_hold_is_refused_once_and_ends_nothing(device: BuiltDevice, watcher: Watcher) -> None:
    """16 KB of empty lists are some 300 KB of objects. Left unacknowledged, they would come again on every connection."""
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        watcher.publish(
            "cmd/leaf/thing-1/request", b'{"id": "8", "command": "echo", "arguments": [' + b"[]," * 5000 + b"1]}"
        )
        refused = watcher.wait_for(lambda: watcher.on("/response"))[0]
        assert refused["status"] == "error" and "too large for the heap" in refused["error"]
        watcher.publish("cmd/leaf/thing-1/request", b'{"id": "9", "command": "echo", "arguments": [2, 3]}')
        assert watcher.wait_for(lambda: watcher.on("/response")[1:])[0]["status"] == "ok"
        assert not [line for line in board.lines if "fault:" in line]


def begin_empty_session(broker: Mosquitto) -> None:
    """What the server has after a CONNECT of the device whose CONNACK was lost: a new session, without subscriptions."""
    for clean in (True, False):
        connected = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="thing-1", clean_session=clean)
        client.on_connect = lambda *_, connected=connected: connected.set()
        client.connect("127.0.0.1", broker.plain_port)
        client.loop_start()
        assert connected.wait(10)
        client.disconnect()
        client.loop_stop()


def test_a_session_begun_by_a_connect_without_an_answer_is_not_believed(
    device: BuiltDevice, proxy: FaultyProxy, broker: Mosquitto, watcher: Watcher
) -> None:
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        proxy.stalled = True
        proxy.cut()
        fault_line(board, "tls-no-tls", 40)  # an attempt to send CONNECT
        begin_empty_session(broker)
        since = len(board.lines)
        proxy.stalled = False
        board.wait_for("session present", since=since)
        board.wait_for("mqtt: subscribed", since=since)
        watcher.publish("news/all", b"after the outage")
        board.wait_for("NEWS .*after the outage", since=since)
    begin_empty_session(broker)
    with device.boot() as board:
        board.wait_for("session present")
        board.wait_for("mqtt: subscribed")
        watcher.publish("news/all", b"after the boot")
        board.wait_for("NEWS .*after the boot")


def test_a_handler_that_raises_is_told_and_nothing_else_suffers(device: BuiltDevice, watcher: Watcher) -> None:
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        watcher.publish("news/all", b"hello")
        board.wait_for(r"NEWS news/all bytearray\(b'hello'\) False")
        board.wait_for("handler of news/all raised ValueError: a handler's own mistake")
        seen = max(numbers(watcher), default=0)
        watcher.wait_for(lambda: whole(watcher, seen + 5))
        assert not [line for line in board.lines if " fault: " in line]


def test_stopping_says_offline_and_disconnect(device: BuiltDevice, broker: Mosquitto, watcher: Watcher) -> None:
    with device.boot() as board:
        watcher.wait_for(lambda: {"online": True} in watcher.on("/status"))
        watcher.publish("cmd/leaf/thing-1/request", b'{"id": 1, "command": "stop"}')
        board.wait_for("device: stopped")
        assert board.wait() == 0
    assert watcher.wait_for(lambda: watcher.on("/status")[-1] == {"online": False})
    assert "disconnected." in broker.log.read_text()  # by a DISCONNECT, so that no will was published
    assert watcher.on("/status").count({"online": False}) == 1


def test_a_device_that_vanishes_is_told_by_its_will(device: BuiltDevice, watcher: Watcher) -> None:
    with device.boot():
        watcher.wait_for(lambda: {"online": True} in watcher.on("/status"))
    assert watcher.wait_for(lambda: watcher.on("/status")[-1] == {"online": False})


def test_losing_the_access_point_is_told_apart_from_losing_the_server(device: BuiltDevice, watcher: Watcher) -> None:
    device.config = {**device.config, "wifi": [{"ssid": "shed", "password": "a-password"}]}
    outage: Any = [[1500, 4500]]
    with device.boot(wifi={"shed": "a-password"}, wifi_outages=outage) as board:
        watcher.wait_for(lambda: numbers(watcher))
        fault_line(board, "wifi-lost")
        report = watcher.wait_for(lambda: [r for r in watcher.on("/faults") if "wifi-lost" in r["counts"]])[0]
    assert "wifi-lost \u00d71" in report["text"]


def test_two_devices_under_one_client_id_are_found_out(
    tmp_path: Path, device: BuiltDevice, watcher: Watcher, authority: Authority
) -> None:
    double = BuiltDevice(
        tmp_path / "double",
        device.identity,
        device.config,
        device.sandbox_root,
        device.resolve,
        application=device.application,
    )
    double.directory.mkdir()
    device.application.write_text(counting(30))
    with device.boot() as board, double.boot():
        line = fault_line(board, "taken-over", 60)
    assert "likely another client connects as thing-1" in line


def test_aws_saying_who_took_the_connection_is_believed(device: BuiltDevice, watcher: Watcher) -> None:
    """AWS IoT: lifecycle events. mosquitto has none, so the test says what AWS would say."""
    device.config = {**device.config, "presence": True}
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        event = {"clientId": "thing-1", "eventType": "disconnected", "disconnectReason": "DUPLICATE_CLIENTID"}
        watcher.publish("$aws/events/presence/disconnected/thing-1", json.dumps(event).encode())
        assert "AWS IoT says so" in fault_line(board, "taken-over")


def test_the_next_address_is_tried_when_one_is_dead(device: BuiltDevice, watcher: Watcher) -> None:
    device.resolve = {HOST: ["127.0.0.99", "127.0.0.1"]}  # type: ignore[dict-item]
    with device.boot() as board:
        watcher.wait_for(lambda: numbers(watcher))
        assert not [line for line in board.lines if " fault: " in line]


LISTENS = (Path(__file__).parents[1] / "apps" / "listens.py").read_text()


def test_a_message_of_16_kib_is_taken_and_a_larger_one_is_read_away_and_acknowledged(
    device: BuiltDevice, watcher: Watcher
) -> None:
    """Ending the connection instead would have the server deliver it again, and again."""
    device.application.write_text(LISTENS)
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        watcher.publish("news/all", b"x" * 16384)
        board.wait_for("GOT 16384 False")
        watcher.publish("news/all", b"x" * 100_000)
        assert "100012 bytes to news/all are read away" in fault_line(board, "message-too-large")
        watcher.publish("news/all", b"after")
        board.wait_for("GOT 5 False")
        assert len([line for line in board.lines if "mqtt: connected" in line]) == 1
