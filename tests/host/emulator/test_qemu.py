"""Which emulator is found, what is said where none is, and how a chip is put into it. Nothing here starts a QEMU."""

from pathlib import Path

import pytest
from rootlet.emulator import chip_board
from rootlet.emulator.chip_emulator import Wiring
from rootlet.emulator.qemu import Qemu, efuse_content
from rootlet.errors import RootletError

WITH_WIFI = """Supported machines are:
esp32                Espressif ESP32 machine (default)
esp32-picsimlab      Espressif ESP32 machine (picsimlab)
esp32c3              Espressif ESP32-C3 machine
esp32c3-picsimlab    Espressif ESP32-C3 machine
none                 empty machine
"""
ESPRESSIF = "Supported machines are:\nesp32                Espressif ESP32 machine\nesp32c3  Espressif ESP32-C3 machine\n"
UPSTREAM = "Supported machines are:\nlx60                 lx60 EVB (dc232b)\nvirt                 virt machine\n"


def program(directory: Path, answer: str, name: str = "qemu-system-xtensa", code: int = 0) -> Path:
    """An executable that knows the answer to one question."""
    directory.mkdir(exist_ok=True)
    (directory / "answer").write_text(answer)
    path = directory / name
    path.write_text(f'#!/bin/sh\n[ "$*" = "-machine help" ] && cat "{directory}/answer"\nexit {code}\n')
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing installed: PATH has a shell and cat alone."""
    (tmp_path / "bin").mkdir()
    for name in ("cat", "sh"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(chip_board.VARIABLE, raising=False)


def found(chip: str, where: Path | None = None) -> Path:
    emulator = chip_board.find_emulator(chip, where)
    assert isinstance(emulator, Qemu) and emulator.chip == chip
    return emulator.program


def test_it_is_found_by_option_by_variable_and_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = program(tmp_path / "bin", WITH_WIFI)
    assert found("esp32") == on_path
    named = program(tmp_path / "named", WITH_WIFI)
    monkeypatch.setenv(chip_board.VARIABLE, str(named))
    assert found("esp32") == named
    given = program(tmp_path / "given", WITH_WIFI)
    assert found("esp32", given) == given


def test_a_directory_holds_one_for_each_chip(tmp_path: Path) -> None:
    xtensa = program(tmp_path / "both", WITH_WIFI)
    riscv = program(tmp_path / "both", WITH_WIFI, "qemu-system-riscv32")
    assert found("esp32", tmp_path / "both") == xtensa
    assert found("esp32c3", tmp_path / "both") == riscv


def test_without_one_a_line_says_what_to_install() -> None:
    with pytest.raises(RootletError, match="no chip emulator is installed: qemu-system-xtensa is not on PATH") as refusal:
        found("esp32")
    assert "lcgamboa/qemu" in refusal.value.hint and "ROOTLET_QEMU" in refusal.value.hint


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        (ESPRESSIF, 0, "emulates esp32 without Wi-Fi"),
        (UPSTREAM, 0, "does not emulate esp32"),
        ("hello\n\n", 0, "does not emulate esp32"),
        (WITH_WIFI, 1, "does not emulate esp32"),
    ],
)
def test_a_program_without_an_esp32_that_has_wifi_is_refused(tmp_path: Path, answer: str, code: int, why: str) -> None:
    with pytest.raises(RootletError, match=why) as refusal:
        found("esp32", program(tmp_path / "other", answer, code=code))
    assert "install QEMU with ESP32 machines and Wi-Fi" in refusal.value.hint


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(RootletError, match="text cannot be asked for its machines: Permission denied"):
        found("esp32", tmp_path / "text")
    with pytest.raises(RootletError, match="missing does not exist"):
        found("esp32", tmp_path / "missing")


def test_a_chip_that_nobody_emulates_with_wifi_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RootletError, match="emulates esp32s3; esp32 and esp32c3 are emulated"):
        found("esp32s3", program(tmp_path / "given", WITH_WIFI))


def test_the_chip_has_this_mac_address_in_its_efuses() -> None:
    # QEMU's own default, which it writes with its CRC: 24 0a c4 00 01 10 fe.
    assert efuse_content("esp32", "10:01:00:c4:0a:24")[4:11] == bytes.fromhex("240ac4000110fe")
    assert efuse_content("esp32c3", "c4:0a:24:fe:10:01")[0x18:0x1E] == bytes.fromhex("0110fe240ac4")


def test_a_path_with_a_comma_stays_one_path(tmp_path: Path) -> None:
    emulator = Qemu(tmp_path / "qemu-system-xtensa", "esp32")
    wiring = Wiring(tmp_path / "a,b.bin", "24:0a:c4:00:00:01", tmp_path / "console", 7, 8, tmp_path)
    command = emulator.command(wiring)
    assert f"file={tmp_path}/a,,b.bin,if=mtd,format=raw" in command
    assert (tmp_path / "efuses.bin").stat().st_size == 124
