"""The main job: a registered device connects from its flash, publishes, and answers."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import messages
from rootlet.errors import RootletError
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice, fault_line, no_line

MakeDevice = Callable[[str], BuiltDevice]

CURIOUS = (Path(__file__).parents[1] / "apps" / "curious.py").read_text()


def test_a_registered_device_connects_publishes_and_answers_a_command(registered: MakeDevice) -> None:
    with registered("main-1").boot() as board:
        trusted = board.wait_for(r"tls: trusted (.+)").group(1)
        board.wait_for(r"mqtt: first puback")
        board.wait_for(r"telemetry: climate acknowledged")
        board.wait_for(r"mqtt: subscribed")
        reply = messages.send_command("main-1", "echo", {"text": "hello"}, application="leaf", timeout=10)
        wrong = messages.send_command("main-1", "dance", {}, application="leaf", timeout=10)
    assert trusted.split(" < ") == ["Rootlet Sandbox Root CA", "Rootlet Sandbox ECDSA M01", "*.iot.us-east-1.localhost"]
    assert reply["status"] == "ok"
    assert reply["result"] == {"text": "hello"}
    assert wrong["status"] == "error"
    assert "echo" in wrong["error"]


def test_a_command_to_a_device_that_is_not_there_says_so(aws: IoTClient) -> None:
    with pytest.raises(RootletError, match="nobody did not answer"):
        messages.send_command("nobody", "echo", {}, application="leaf", timeout=1)


def test_a_second_boot_finds_its_session_and_asks_for_nothing_twice(registered: MakeDevice) -> None:
    device = registered("main-2")
    with device.boot() as board:
        board.wait_for(r"session new")
        board.wait_for(r"mqtt: subscribed")
    with device.boot() as board:
        board.wait_for(r"session present")
        board.wait_for(r"mqtt: subscribed")
        reply = messages.send_command("main-2", "echo", {"again": True}, application="leaf", timeout=10)
    assert reply["result"] == {"again": True}


def test_nothing_of_the_host_is_within_the_devices_reach(registered: MakeDevice) -> None:
    device = registered("main-3")
    device.application = device.directory / "curious.py"
    device.application.write_text(CURIOUS)
    with device.boot() as board:
        board.wait()
    seen = "\n".join(board.lines)
    assert "no host file system" in seen
    assert "HOST-REACHED" not in seen
    assert "path ['', '.frozen', '/lib']" in seen
    assert "environment None None" in seen  # the test's own environment holds that key
    files = json.loads(next(line for line in board.lines if line.startswith("files"))[6:].replace("'", '"'))
    names = {"app.mpy", "build.json", "config.json", "leaf", "leaf-data", "main.py", "manifest.json", "roots", "state"}
    assert set(files) == names


def test_a_board_in_use_cannot_be_booted_twice_from_one_flash(registered: MakeDevice) -> None:
    device = registered("main-4")
    with device.boot() as board:
        board.wait_for("identity")
        with pytest.raises(RootletError, match="running"), device.boot():
            pass


def test_the_demo_application_fits_a_heap_of_148_kilobytes(registered: MakeDevice, sandbox: Sandbox) -> None:
    """On the 64-bit Unix port, where 43 of them hold what a chip has in flash."""
    device = registered("main-5")
    device.heapsize = "148K"
    with device.boot() as board:
        board.wait_for(r"telemetry: climate acknowledged")


def test_a_clock_that_is_before_the_images_build_date_keeps_the_device_from_tls(
    make_device: MakeDevice, sandbox: Sandbox
) -> None:
    """What an ESP32's clock says after power-on; here the image claims to come from tomorrow, and NTP has no answer."""
    device = make_device("clock-1")
    device.built = int(time.time()) + 86400
    device.config = {**device.config, "ntp": ["nowhere.invalid"]}
    with device.boot() as board:
        line = fault_line(board, "clock-unset")
        board.wait_for("backoff: ")
        assert no_line(board, ["tls:", "mqtt:"])
    assert "NTP" in line
