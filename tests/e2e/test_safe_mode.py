"""An application that fails does not take the device out of reach; a hang does not last."""

from collections.abc import Callable
from pathlib import Path

from rootlet.cloud import messages
from support.device import BuiltDevice, fault_line, no_line

MakeDevice = Callable[[str], BuiltDevice]

RAISES = """
raise ValueError("the sensor is upside down")
"""

RESETS = """
import machine
machine.reset()
"""

HANGS = (Path(__file__).parents[1] / "apps" / "hangs.py").read_text()


def application(device: BuiltDevice, source: str) -> BuiltDevice:
    device.application = device.directory / "application.py"
    device.application.write_text(source)
    return device


def test_after_four_failed_boots_the_device_starts_without_its_application_and_answers(registered: MakeDevice) -> None:
    device = application(registered("safe-1"), RESETS)
    with device.boot() as board:
        board.wait_for("safe-mode: 4 boots in a row failed")
        board.wait_for("mqtt: subscribed")
        assert board.resets == 4
        reply = messages.send_command("safe-1", "leaf.status", {}, application="leaf", timeout=10)
        assert reply["result"]["safe_mode"] is True
        assert reply["result"]["heap_free"] > 10_000
        assert reply["result"]["c_heap"].keys() == {"free", "largest", "lowest"}
        since = len(board.lines)
        messages.send_command("safe-1", "leaf.restart", {}, application="leaf", timeout=10)
        board.wait_for("safe-mode: 4 boots in a row failed", since=since)  # the application has had its four chances again
        assert board.resets == 9


def test_an_application_that_raises_is_named_and_the_board_starts_again(registered: MakeDevice) -> None:
    device = application(registered("safe-2"), RAISES)
    with device.boot() as board:
        assert "ValueError: the sensor is upside down" in fault_line(board, "application")
        board.wait_for("start: again in 5 s")
        since = len(board.lines)
        board.wait_for("fault: application: ", since=since)


def test_new_code_gets_a_new_count(registered: MakeDevice) -> None:
    device = application(registered("safe-3"), RESETS)
    with device.boot() as board:
        board.wait_for("safe-mode: ")
    state = device.flash.read_bytes()
    application(device, "print('MENDED')")
    device.built = 1_780_000_000
    device.build()
    mended = device.flash.read_bytes()
    assert mended != state
    with device.boot() as board:
        board.wait_for("MENDED")


def test_plugging_a_board_in_and_out_is_no_failure(registered: MakeDevice) -> None:
    device = registered("safe-4")
    for _ in range(6):
        with device.boot() as board:
            board.wait_for("identity: ")
    assert no_line(board, ["safe-mode"])


def test_a_hang_ends_in_a_reset_that_the_cloud_is_told_of(registered: MakeDevice) -> None:
    device = application(registered("safe-5"), HANGS)
    device.config = {**device.config, "watchdog": 0}  # the application's own bites sooner
    with device.boot() as board:
        board.wait_for("virtual board: the watchdog was not fed for 1 s")
        board.wait_for("faults: no fault")
        assert board.resets == 1
