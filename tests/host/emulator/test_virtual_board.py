"""The virtual board: boots what lies in the flash, keeps what the device writes, comes back after a reset."""

from pathlib import Path

import pytest
from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard, parse_resolve
from rootlet.errors import BadInput, RootletError
from support.flashes import BOARD, write


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash.bin"


COUNTS = """
import os
try:
    boots = int(open("/boots").read())
except OSError:
    boots = 0
boots += 1
with open("/boots", "w") as stream:
    stream.write(str(boots))
print("boot", boots)
"""


def test_what_the_device_writes_is_in_its_flash_at_the_next_boot(flash: Path) -> None:
    write(flash, COUNTS)
    for expected in ("boot 1", "boot 2", "boot 3"):
        with VirtualBoard(flash) as board:
            assert board.wait() == 0
        assert board.lines == [expected]


def test_a_snapshot_leaves_the_flash_as_it_is(flash: Path) -> None:
    write(flash, COUNTS)
    before = flash.read_bytes()
    for _ in range(2):
        with VirtualBoard(flash, BoardSettings(snapshot=True)) as board:
            board.wait()
        assert board.lines == ["boot 1"]
    assert flash.read_bytes() == before


def test_a_reset_boots_it_again_and_says_why(flash: Path) -> None:
    write(flash, COUNTS + "import machine\nprint('cause', machine.reset_cause())\nif boots < 3:\n    machine.reset()\n")
    with VirtualBoard(flash) as board:
        assert board.wait() == 0
    assert board.lines == ["boot 1", "cause 1", "boot 2", "cause 2", "boot 3", "cause 2"]
    assert board.resets == 2


def test_pulling_the_plug_ends_a_device_that_never_ends(flash: Path) -> None:
    write(flash, "print('here')\nwhile True:\n    pass\n")
    with VirtualBoard(flash) as board:
        board.wait_for("here")
    assert board.exit_code == -9


def test_a_line_that_never_comes_ends_with_the_last_lines(flash: Path) -> None:
    write(flash, "print('only this')")
    with VirtualBoard(flash) as board, pytest.raises(RootletError, match="only this"):
        board.wait_for("something else", timeout=10)


def test_programming_flash_without_erasing_it_only_clears_bits(flash: Path) -> None:
    write(
        flash,
        "from esp32 import Partition\n"
        "nvs = Partition.find(1, label='nvs')[0]\n"
        "nvs.writeblocks(0, b'\\xf0', 0)\n"
        "nvs.writeblocks(0, b'\\x0f', 0)\n"
        "data = bytearray(2)\n"
        "nvs.readblocks(0, data, 0)\n"
        "print(data)\n",
    )
    with VirtualBoard(flash) as board:
        board.wait()
    assert board.lines == ["bytearray(b'\\x00\\xff')"]


def test_a_file_of_no_flash_size_is_refused(flash: Path) -> None:
    flash.write_bytes(b"\xff" * 1000)
    with pytest.raises(BadInput, match="1000 bytes"), VirtualBoard(flash):
        pass


def test_a_missing_image_is_refused(flash: Path) -> None:
    with pytest.raises(BadInput, match=r"flash\.bin"), VirtualBoard(flash):
        pass


def test_a_flash_without_a_partition_table_says_so(flash: Path) -> None:
    flash.write_bytes(b"\xff" * BOARD.flash_size)
    with VirtualBoard(flash) as board:
        assert board.wait() == 1
    assert any("no partition table" in line for line in board.lines)


@pytest.mark.parametrize("text", ["", "host", "host:", ":127.0.0.1"])
def test_a_broken_resolve_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="HOST:ADDRESS"):
        parse_resolve(text)


def test_an_ipv6_address_can_be_resolved_to() -> None:
    assert parse_resolve("host:::1") == ("host", "::1")
