"""Commands: those that hang, those that come twice, and the device's own, which answer whatever happens."""

from pathlib import Path

import pytest
from rootlet.pki.authority import Authority
from support.device import no_line
from support.scripted_broker import Devices, ScriptedBroker

APPLICATION = """
import asyncio
from leaf import Device

device = Device()

@device.command("hang", timeout=60)
async def hang(arguments):
    await asyncio.sleep(100000)

@device.command("stubborn", timeout=60)
async def stubborn(arguments):
    while True:
        try:
            await asyncio.sleep(100000)
        except:
            pass

@device.command("count")
def count(arguments):
    print("COUNTED", arguments)
    return arguments

device.run()
"""


@pytest.fixture
def devices(tmp_path: Path, authority: Authority) -> Devices:
    return Devices(tmp_path, authority)


def test_hung_commands_end_at_their_limit_and_never_lock_out_the_devices_own(devices: Devices) -> None:
    broker = ScriptedBroker()
    with devices.booted(broker, "hung-1", APPLICATION, speed=20) as board:
        board.wait_for("mqtt: subscribed")
        for number in range(1, 5):
            broker.command("hung-1", f"h{number}", "hang" if number < 4 else "stubborn", number)
        broker.command("hung-1", "busy", "count", 5)
        broker.wait_for(lambda: bool(broker.replies("busy")))
        assert "busy: 4 commands are running" in broker.replies("busy")[0]["error"]
        broker.command("hung-1", "status", "leaf.status", 6)
        broker.wait_for(lambda: bool(broker.replies("status")))
        assert broker.replies("status")[0]["status"] == "ok"
        broker.wait_for(lambda: all(broker.replies(f"h{number}") for number in range(1, 5)))
        assert [broker.replies(f"h{number}") for number in range(1, 5)] == [
            [{"id": f"h{number}", "status": "error", "error": "no end in 60 s"}] for number in range(1, 5)
        ]
        broker.command("hung-1", "free", "count", 7, 1)  # the three that could be cancelled gave their places back
        broker.wait_for(lambda: bool(broker.replies("free")))
        assert broker.replies("free") == [{"id": "free", "status": "ok", "result": 1}]


def test_the_restart_works_while_every_place_is_taken_and_comes_once_though_it_is_delivered_again(devices: Devices) -> None:
    broker = ScriptedBroker()
    with devices.booted(broker, "hung-2", APPLICATION, speed=5) as board:
        board.wait_for("mqtt: subscribed")
        for number in range(1, 5):
            broker.command("hung-2", f"h{number}", "hang", number)
        broker.command("hung-2", "again", "leaf.restart", 5)
        broker.wait_for(lambda: broker.connections == 2 and bool(broker.replies("again")))
        assert board.resets == 1
        board.wait_for("mqtt: subscribed", since=len(board.lines) - 1)
        broker.command("hung-2", "again", "leaf.restart", 5)
        broker.command("hung-2", "status", "leaf.status", 6)
        broker.wait_for(lambda: bool(broker.replies("status")))
        board.wait_for("command: leaf.restart came again, and is not run again")
        assert broker.replies("status")[0]["result"]["uptime_s"] < 3600
        assert board.resets == 1
        assert len(broker.replies("again")) == 1
        assert broker.replies("again")[0]["result"] == "restarting"


def test_a_command_that_comes_twice_runs_once_and_a_new_one_runs(devices: Devices) -> None:
    broker = ScriptedBroker()
    with devices.booted(broker, "twice-1", APPLICATION) as board:
        board.wait_for("mqtt: subscribed")
        broker.command("twice-1", "a", "count", 1, 1)
        broker.command("twice-1", "a", "count", 1, 1)
        broker.hang_up()
        broker.wait_for(lambda: broker.connections == 2)
        broker.command("twice-1", "a", "count", 2, 1)
        broker.command("twice-1", "b", "count", 3, 2)
        broker.wait_for(lambda: bool(broker.replies("b")))
        broker.wait_for(lambda: {(2, 2), (2, 3)} <= set(broker.acknowledged))
        assert [line for line in board.lines if line.startswith("COUNTED")] == ["COUNTED 1", "COUNTED 2"]
        assert no_line(board, ["fault: unexpected"])
        assert len(broker.replies("a")) == 1


@pytest.mark.parametrize("timeout", ["0", "-1", "1e9", "float('nan')"])
def test_a_limit_that_is_none_is_the_applications_fault(devices: Devices, timeout: str) -> None:
    application = APPLICATION.replace('"hang", timeout=60', f'"hang", timeout={timeout}')
    with devices.booted(ScriptedBroker(), "limit-1", application) as board:
        board.wait_for("fault: application: ValueError: command hang: timeout=.* is not a number of seconds above 0")
