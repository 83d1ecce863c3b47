"""On MicroPython's official binaries, in a chip emulator: what an image does on the chip that it would be burned to."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import messages
from support import chip
from support.device import BuiltDevice, no_line

MakeDevice = Callable[[str], BuiltDevice]

# One at a time: an emulated chip takes a core.
pytestmark = pytest.mark.xdist_group("chip")

BOOT = 100  # seconds of a busy machine

RESETS = """
import machine
try:
    boots = int(open("/boots").read())
except OSError:
    boots = 0
boots += 1
with open("/boots", "w") as stream:
    stream.write(str(boots))
print("boot", boots, "reset cause", machine.reset_cause())
if boots < 2:
    machine.reset()
print("stays")
"""


@pytest.mark.parametrize("name", ["esp32-1.23.0", "esp32-1.25.0", "esp32-1.26.1", "c3-1.27.0"])
def test_the_sample_application_connects_publishes_and_answers(registered: MakeDevice, name: str) -> None:
    device = registered(f"chip-{name.replace('.', '-')}")
    chip.make_chip(device, name)
    with chip.boot(device) as board:
        board.wait_for(rf"wifi: joined {chip.NETWORK}", BOOT)
        board.wait_for(r"clock: set from time\.aws\.com", BOOT)
        trusted = board.wait_for(r"tls: trusted (.+)", BOOT).group(1)
        board.wait_for(r"mqtt: first puback", BOOT)
        board.wait_for(r"mqtt: subscribed", BOOT)
        assert device.identity
        reply = messages.send_command(device.identity.thing, "echo", {"text": "hello"}, application="leaf", timeout=30)
    assert trusted.split(" < ") == ["Rootlet Sandbox Root CA", "Rootlet Sandbox ECDSA M01", "*.iot.us-east-1.localhost"]
    assert reply["result"] == {"text": "hello"}
    assert board.resets == 0 and no_line(board, ["Guru Meditation", "fault: config"])


def test_a_reset_keeps_the_flash_and_does_not_end_the_run(make_device: MakeDevice) -> None:
    device = make_device("chip-resets")
    chip.make_chip(device, "c3-1.27.0")
    device.application = device.directory / "resets.py"
    device.application.write_text(RESETS)
    with chip.boot(device) as board:
        board.wait_for("^boot 2 ", BOOT)
        board.wait_for("^stays", BOOT)
        assert not board.ended()
    # As MicroPython numbers them: 1 is power-on, 2 a hard reset, which machine.reset() is.
    assert [line for line in board.lines if line.startswith("boot ")] == ["boot 1 reset cause 1", "boot 2 reset cause 2"]
    assert board.resets == 1
    with chip.boot(device) as again:  # the same file, power-on
        again.wait_for("^boot 3 reset cause 1", BOOT)


class TestCommand:
    @pytest.fixture
    def running(self, make_device: MakeDevice) -> "subprocess.Popen[str]":
        """``rootlet emulate --chip``, whose chip has begun to boot."""
        device = make_device("chip-command")
        chip.make_chip(device, "c3-1.27.0")
        device.build()
        command = [sys.executable, "-m", "rootlet.cli.main", "emulate", str(device.flash), "--chip", "--snapshot"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("rst:"):
                return running
        raise AssertionError(running.communicate()[1])

    def test_ctrl_c_ends_it_and_the_emulator(self, running: "subprocess.Popen[str]") -> None:
        emulator = child(running.pid)
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 130
        assert not alive(emulator)

    def test_killed_it_leaves_no_emulator_behind(self, running: "subprocess.Popen[str]") -> None:
        emulator = os.pidfd_open(child(running.pid))
        running.kill()
        running.wait(20)
        # A process file descriptor is readable when the process has ended.
        assert select.select([emulator], [], [], 20)[0]
        os.close(emulator)


def child(parent: int) -> int:
    """The process id of the only child."""
    found = [tid / "children" for tid in Path(f"/proc/{parent}/task").iterdir()]
    (pid,) = [int(pid) for path in found for pid in path.read_text().split()]
    return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_image_for_another_network_is_refused_before_it_boots(make_device: MakeDevice, aws: IoTClient) -> None:
    device = make_device("chip-network")
    chip.make_chip(device, "esp32-1.25.0")
    device.config = {**device.config, "wifi": [{"ssid": chip.NETWORK, "password": "not-needed"}]}
    device.build()
    done = subprocess.run(
        [sys.executable, "-m", "rootlet.cli.main", "emulate", str(device.flash), "--chip"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert '"Espressif" without a password' in done.stderr and "not-needed" not in done.stderr
