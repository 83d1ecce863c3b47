"""Files of the device's own that cannot be read, or hold what no firmware wrote: each costs itself and nothing else."""

import binascii
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rootlet.pki.authority import Authority
from support import flashes
from support.chains import HOST
from support.device import BuiltDevice, fault_line, no_line
from support.mosquitto import Mosquitto, Watcher, needs_mosquitto

pytestmark = needs_mosquitto

APPLICATION = """
from leaf import Device
from leaf.services.jobs import Jobs
from leaf.services.shadow import Shadow

device = Device()
jobs = Jobs(device)
shadow = Shadow(device)

@shadow.setting("interval_s", 60)
def interval(value):
    pass

@device.telemetry(every=1)
def climate():
    return {}

device.run()
"""
STATE = ("boots", "time", "faults", "config", "job", "shadow")
NESTED = b"[" * 3000 + b"]" * 3000
WRONG = {
    "boots": [["often"], True, None],
    "time": ["late", {}],
    "faults": {"since": "Monday", "counts": {"tcp": "many"}, "last": 5},
    "config": {"endpoint": 5, "wifi": "none"},
    "job": {"id": 7, "status": {}},
    "shadow": {"interval_s": {"deep": []}, "other": 1},
}
DAMAGES = {
    "3,000 nested brackets": dict.fromkeys(STATE, NESTED),
    "3,000 nested objects": dict.fromkeys(STATE, b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "noise": {name: random.Random(name).randbytes(200) for name in STATE},
    "nothing": dict.fromkeys(STATE, b""),
    "another type": dict.fromkeys(STATE, b'"text"'),
    "other shapes": {name: json.dumps(value).encode() for name, value in WRONG.items()},
    "other shapes within": {**dict.fromkeys(STATE, b"{}"), "faults": b'{"counts": [1], "last": [1, [2]], "since": []}'},
    "half a megabyte": {"faults": b"[" + b"1," * 250_000 + b"1]"},
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker"), authority) as running:
        yield running


@pytest.fixture
def watcher(broker: Mosquitto) -> Iterator[Watcher]:
    with Watcher(broker.plain_port) as watching:
        yield watching


@pytest.fixture
def device(tmp_path: Path, broker: Mosquitto, authority: Authority) -> BuiltDevice:
    application = tmp_path / "application.py"
    application.write_text(APPLICATION)
    # A thing of its own for each test: what is retained is by its name.
    thing = "state-" + binascii.hexlify(tmp_path.name.encode()).decode()[-8:]
    config = {"endpoint": HOST, "port": broker.port, "keep_alive": 30, "outbox_flash": 262144}
    made = BuiltDevice(tmp_path, authority.issue(thing), config, broker.root, {HOST: "127.0.0.1"}, application=application)
    made.build()
    return made


def reported(watcher: Watcher, word: str) -> Any:
    """The report with this fault, once it is with the cloud."""
    return watcher.wait_for(lambda: [report for report in watcher.on("/faults") if word in report["counts"]])[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_file_costs_what_it_held_and_is_reported(device: BuiltDevice, watcher: Watcher, damage: str) -> None:
    files = {f"/state/{name}.json": content for name, content in DAMAGES[damage].items()}
    flashes.change(device.flash, dict(files))
    with device.boot() as board:
        board.wait_for("telemetry: climate acknowledged")
        board.wait_for(r"^\d+ faults: ")
        board.wait_for("telemetry: climate acknowledged", since=len(board.lines))
        if "shapes" not in damage:
            fault_line(board, "storage")
            reported(watcher, "storage")
            board.wait_for("faults: .*storage")
    assert no_line(board, ["Traceback", "safe-mode", "fault: application", "fault: unexpected"])
    with device.boot() as board:  # what was damaged is out of the way
        board.wait_for("telemetry: climate acknowledged")
        assert no_line(board, ["fault: storage", "overrides left out"]) or damage == "other shapes"


def record(stream: str, payload: bytes) -> bytes:
    """As segments.py writes it."""
    body = stream.encode() + payload
    return struct.pack(">BBHI", 0xA7, len(stream), len(payload), binascii.crc32(body)) + body


def test_an_unreadable_block_costs_its_segment_and_the_rest_is_delivered(device: BuiltDevice, watcher: Watcher) -> None:
    segments = {
        number: b"".join(record("meter", json.dumps({"n": number * 10 + n, "x": "x" * 350}).encode()) for n in range(10))
        for number in range(1, 17)
    }
    flashes.change(device.flash, {f"/state/outbox/keep/{number}": data for number, data in segments.items()})
    (bad,) = flashes.blocks_with(device.flash, b'{"n": 55, ')
    with device.boot(bad_blocks=[bad]) as board:
        report = reported(watcher, "storage")
        watcher.wait_for(lambda: {reading["n"] for reading in watcher.on("/meter")} >= {*range(10, 50), *range(60, 170)})
        assert no_line(board, ["Traceback", "fault: unexpected"])
    assert "/state/outbox/keep/5 cannot be read" in report["last"][-1][2]
    with device.boot(bad_blocks=[bad]) as board:
        board.wait_for("telemetry: climate acknowledged")
        board.wait_for("mqtt: subscribed")
        assert no_line(board, ["fault: storage"])


def test_a_root_that_does_not_load_is_left_out_and_reported(device: BuiltDevice, watcher: Watcher) -> None:
    flashes.change(device.flash, {"/roots/amazon-root-ca-1.der": b"\x30\x82" + bytes(500), "/roots/a.der": b""})
    bad = flashes.blocks_with(device.flash, b"Amazon Root CA 3")
    with device.boot(bad_blocks=bad) as board:
        board.wait_for("telemetry: climate acknowledged")
        board.wait_for("roots: sandbox$")
        report = reported(watcher, "root-unusable")
        assert no_line(board, ["Traceback", "fault: application"])
    assert report["counts"] == {"root-unusable": 3}


def test_without_any_root_that_loads_the_device_says_so_and_blames_nobody_else(device: BuiltDevice) -> None:
    names = ("amazon-root-ca-1", "amazon-root-ca-3", "sandbox")
    flashes.change(device.flash, {f"/roots/{name}.der": b"not a certificate" for name in names})
    with device.boot() as board:
        board.wait_for("fault: root-unusable: no embedded root can be used")
        assert board.wait() == 0
    assert board.resets == 0
    assert no_line(board, ["Traceback", "fault: application", "tls:"])
