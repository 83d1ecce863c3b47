"""How a run on an emulated chip begins and ends. A script stands for the emulator: it says what a chip's ROM would say."""

import os
import sys
import time
from pathlib import Path
from typing import ClassVar, Self

import pytest
from rootlet.emulator import chip_board
from rootlet.emulator.chip_board import MAX_PANICS, ChipBoard, ChipSettings
from rootlet.emulator.chip_emulator import ChipEmulator, Wiring
from rootlet.emulator.emulated_board import RESET
from rootlet.errors import BadInput, RootletError

RUNS = """
import os, socket, sys, time
console = socket.socket(socket.AF_UNIX)
console.connect(sys.argv[1])
say = lambda *lines: console.sendall("".join(line + "\\r\\n" for line in lines).encode())
boot = lambda why="POWERON_RESET": say("ets Jul 29 2019 12:21:46", "", f"rst:0x1 ({why}),boot:0x12 (SPI_FAST_FLASH_BOOT)")
panic = lambda: say("Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.")
"""


class Script(ChipEmulator):
    """An emulator whose chip does what a script says."""

    network: ClassVar[str] = "Espressif"
    flash_sizes: ClassVar[tuple[int, ...]] = (1 << 20,)

    def __init__(self, script: str) -> None:
        self.script = script

    @classmethod
    def find(cls, chip: str, where: Path | None) -> Self:
        raise RootletError(f"no emulator of {chip}")

    def command(self, wiring: Wiring) -> list[str]:
        script = f"flash = {str(wiring.flash)!r}\n{RUNS}{self.script}"
        return [sys.executable, "-c", script, str(wiring.console)]


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xff" * (1 << 20))
    return path


def run(flash: Path, script: str, **settings: object) -> ChipBoard:
    """The board, after it ended by itself."""
    with ChipBoard(flash, Script(script), ChipSettings("esp32", **settings)) as board:  # type: ignore[arg-type]
        board.wait()
    return board


FOREVER = "time.sleep(60)"


def test_its_lines_are_those_of_the_serial_port(flash: Path) -> None:
    board = run(flash, "boot()\nsay('hello')")
    assert board.lines == [
        "ets Jul 29 2019 12:21:46",
        "",
        "rst:0x1 (POWERON_RESET),boot:0x12 (SPI_FAST_FLASH_BOOT)",
        "hello",
    ]
    assert board.exit_code == 0 and board.resets == 0


def test_a_reset_does_not_end_the_run(flash: Path) -> None:
    board = run(flash, "for _ in range(20): boot('SW_CPU_RESET')\nsay('still here')")
    assert board.lines[-1] == "still here"
    assert (board.resets, board.exit_code) == (19, 0)


@pytest.mark.parametrize("limit", [0, 2])
def test_the_resets_can_be_bounded(flash: Path, limit: int) -> None:
    board = run(flash, f"for number in range(5):\n    boot()\n    say(str(number))\n{FOREVER}", max_resets=limit)
    assert (board.resets, board.exit_code) == (limit, RESET)
    assert [line for line in board.lines if line.isdigit()][-1] == str(limit)


def test_a_chip_that_does_nothing_but_panic_is_stopped(flash: Path) -> None:
    board = run(flash, f"while True:\n    boot()\n    panic()\n{FOREVER}")
    assert board.exit_code == 1
    assert board.lines[-1] == f"chip emulator: {MAX_PANICS} panics in a row: ended"
    assert sum("Guru" in line for line in board.lines) == MAX_PANICS


def test_panics_with_a_good_boot_between_them_are_not_a_row(flash: Path) -> None:
    board = run(flash, f"for _ in range({MAX_PANICS}):\n    boot()\n    panic()\n    boot()\nsay('done')")
    assert board.lines[-1] == "done" and board.exit_code == 0


def test_panics_of_a_chip_that_works_for_a_while_are_not_a_row(flash: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip_board, "_IN_A_ROW", 0)
    board = run(flash, f"for _ in range({MAX_PANICS} + 2):\n    boot()\n    panic()\nsay('done')")
    assert board.lines[-1] == "done" and board.exit_code == 0


def test_an_emulator_that_fails_is_quoted(flash: Path) -> None:
    board = run(flash, "boot()\nprint('hub 1 with no nics')\nsys.exit('unsupported machine type')")
    assert board.exit_code == 1
    assert board.lines[-2:] == ["emulator: hub 1 with no nics", "emulator: unsupported machine type"]


def test_an_emulator_that_ends_before_its_console_opens_is_quoted(flash: Path) -> None:
    class Broken(Script):
        def command(self, wiring: Wiring) -> list[str]:
            return [str(wiring.scratch / "missing")]

    with ChipBoard(flash, Broken(""), ChipSettings("esp32")) as board:
        assert board.wait() == 1
    assert board.lines[0].startswith("emulator: ") and board.lines[0].endswith("missing: No such file or directory")


def test_pulling_the_plug_ends_the_emulator(flash: Path) -> None:
    with ChipBoard(flash, Script(f"boot()\nsay(f'process {{os.getpid()}}')\n{FOREVER}"), ChipSettings("esp32")) as board:
        process = int(board.wait_for(r"process (\d+)").group(1))
        began = time.monotonic()
    assert time.monotonic() - began < 5 and board.ended() and board.exit_code == -9
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


WRITES = "boot()\nwith open(flash, 'r+b') as stream: stream.write(b'written')\n"


def test_the_chip_writes_to_the_image(flash: Path) -> None:
    run(flash, WRITES)
    assert flash.read_bytes().startswith(b"written")


def test_a_snapshot_leaves_the_image_as_it_is(flash: Path) -> None:
    run(flash, WRITES, snapshot=True)
    assert flash.read_bytes() == b"\xff" * (1 << 20)


def test_passphrases_do_not_reach_the_emulator(flash: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", "secret-passphrase")
    board = run(flash, "boot()\nsay(*os.environ.values())\nsay('end')")
    assert board.lines[-1] == "end" and not any("secret-passphrase" in line for line in board.lines)


def test_a_size_that_the_emulator_does_not_have_is_refused(flash: Path) -> None:
    flash.write_bytes(b"\xff" * (2 << 20))
    with pytest.raises(BadInput, match=r"not a flash size \(1 MiB\)"):
        ChipBoard(flash, Script(""), ChipSettings("esp32")).start()


def test_an_address_out_of_reach_is_refused_before_anything_starts(flash: Path) -> None:
    with pytest.raises(BadInput, match="IPv4 addresses only"):
        ChipBoard(flash, Script(""), ChipSettings("esp32", {"broker.example": "::1"})).start()
    assert run(flash, "boot()").exit_code == 0  # its lock is free again
