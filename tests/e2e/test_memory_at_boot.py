"""A heap that is too small for a boot: the board starts again, or runs in safe mode; it never stays at the prompt."""

from dataclasses import replace
from pathlib import Path

import pytest
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from support.device import BuiltDevice

HOST = "nobody.example"
FAST = 50  # so that the 5 s before a reset are a tenth of one
LEAST = 80_000  # bytes: with less, what stands for the chip leaves no room to read main.py
ENOUGH = 176 * 1024

HUNGRY = """
kept = bytearray(1 << 20)
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> BuiltDevice:
    directory = tmp_path_factory.mktemp("device")
    made = BuiltDevice(directory, authority.issue("hungry"), {"endpoint": HOST, "port": 1}, None, {HOST: "127.0.0.1"})
    made.build()
    return made


def boot(device: BuiltDevice, heap: int, max_resets: int | None) -> VirtualBoard:
    board = device.boot(speed=FAST)
    board.settings = replace(board.settings, heapsize=str(heap), max_resets=max_resets)
    return board


def failed_before_main(lines: list[str]) -> bool:
    text = "\n".join(lines)
    return "shims/boot.py" in text and "main.py" not in text


def test_from_any_heap_in_which_main_can_be_read_the_board_starts_again(device: BuiltDevice) -> None:
    outcomes = []
    for heap in range(LEAST, 128_000, 3_500):
        with boot(device, heap, max_resets=0) as board:
            try:
                board.wait_for("backoff: ")
                outcomes.append("runs")
            except RootletError:
                outcomes.append("starts again" if board.exit_code == 3 else "cannot read main.py")
                assert board.exit_code == 3 or failed_before_main(board.lines), (heap, board.lines)
    assert outcomes.count("starts again") > 5
    assert outcomes[-1] == "runs"


def test_an_application_that_the_heap_cannot_hold_ends_in_safe_mode(device: BuiltDevice, tmp_path: Path) -> None:
    hungry = replace(device, directory=tmp_path, application=tmp_path / "hungry.py")
    hungry.application.write_text(HUNGRY)
    with boot(hungry, ENOUGH, max_resets=None) as board:
        board.wait_for("safe-mode: 4 boots in a row failed")
        board.wait_for("backoff: ")
    assert board.resets == 4
