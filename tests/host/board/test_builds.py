"""Which MicroPython a binary is: its build and variant, its machine, the flash that its bootloader is set to."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.board import image, micropython, partitions
from rootlet.board.definition import load_board
from rootlet.board.partitions import Partition
from rootlet.cli.board import micropython as cli
from rootlet.errors import BadInput
from support import official
from support.flashkit import BUILT, CONFIG, rehash

MACHINES = {"esp32": "Generic ESP32 module with ESP32", "s3": "Generic ESP32S3 module with ESP32S3"}
OTA_TABLE = (
    Partition("nvs", 1, 2, 0x9000, 0x4000),
    Partition("otadata", 1, 0, 0xD000, 0x2000),
    Partition("phy_init", 1, 1, 0xF000, 0x1000),
    Partition("ota_0", 0, 0x10, 0x10000, 0x1A0000),
    Partition("ota_1", 0, 0x11, 0x1B0000, 0x1A0000),
)


@pytest.fixture(scope="module")
def plain() -> micropython.MicroPython:
    """What is read of an official ESP32_GENERIC."""
    return micropython.read(official.get("esp32-1.26.1"))


@pytest.mark.parametrize("name", official.RELEASES)
def test_an_official_release_says_its_build_and_its_machine(name: str) -> None:
    release = official.RELEASES[name]
    found = micropython.read(official.get(name))
    assert found.build == release.board.upper() and found.flash_size == 4 << 20
    assert found.machine == MACHINES.get(name.split("-")[0], "ESP32C3 module with ESP32C3")
    assert found.psram == name.startswith("s3")
    micropython.check(found, load_board(release.board))


@pytest.mark.parametrize("name", ["esp32-1.23.0", "esp32-1.25.0", "esp32-1.26.1"])
@pytest.mark.parametrize("board", ["esp32_generic_ota", "m5stack_core2_aws"])
def test_a_plain_build_is_refused_where_a_variant_is_wanted(name: str, board: str, tmp_path: Path) -> None:
    path = tmp_path / "mp.bin"
    path.write_bytes(official.get(name))
    result = CliRunner().invoke(cli.command, ["check", str(path), "--board", board])
    wanted = load_board(board).micropython.build
    assert isinstance(result.exception, BadInput) and "fits" not in result.stdout
    assert result.exception.what == f"this MicroPython is the build ESP32_GENERIC; {board} takes {wanted}"
    assert f"rootlet micropython fetch {board}" in result.exception.hint


@pytest.mark.parametrize(
    ("machine", "build"),
    [
        (b"Generic ESP32 module with OTA with ESP32", "ESP32_GENERIC-OTA"),
        (b"Generic ESP32 module with SPIRAM with ESP32", "ESP32_GENERIC-SPIRAM"),
        (b"Generic ESP32 module with ESP32-UNICORE", "ESP32_GENERIC-UNICORE"),
        (b"Generic ESP32 module with ESP32-D2WD", "ESP32_GENERIC-D2WD"),
    ],
)
def test_a_variant_of_a_release_that_does_not_name_its_build_shows_in_its_machine(machine: bytes, build: str) -> None:
    """A real 1.23.0 with the machine of a variant written over its own."""
    firmware = bytearray(official.get("esp32-1.23.0"))
    at = firmware.index(b"\0; Generic ESP32 module with ESP32\0") + 3
    firmware[at : at + len(machine) + 1] = machine + b"\0"
    found = micropython.read(rehash(firmware))
    assert (found.build, found.machine) == (build, machine.decode())
    with pytest.raises(BadInput, match=f"is the build {build}; esp32_generic takes ESP32_GENERIC"):
        micropython.check(found, load_board("esp32_generic"))


def test_the_named_variant_fits_its_board(plain: micropython.MicroPython) -> None:
    micropython.check(replace(plain, build="ESP32_GENERIC-OTA", partitions=OTA_TABLE), load_board("esp32_generic_ota"))
    micropython.check(replace(plain, build="ESP32_GENERIC-SPIRAM", psram=True), load_board("m5stack_core2_aws"))
    micropython.check(replace(plain, build="ESP32_GENERIC-ROMFS"), load_board("esp32_generic"))


def test_a_build_of_ones_own_needs_what_the_board_needs(plain: micropython.MicroPython) -> None:
    own = replace(plain, build="MY_BOARD")
    micropython.check(own, load_board("esp32_generic"))
    micropython.check(replace(own, psram=True), load_board("m5stack_core2_aws"))
    micropython.check(replace(own, partitions=OTA_TABLE), load_board("esp32_generic_ota"))
    with pytest.raises(BadInput, match="has 1 partition for an application; esp32_generic_ota takes ESP32_GENERIC-OTA"):
        micropython.check(own, load_board("esp32_generic_ota"))
    with pytest.raises(BadInput, match="cannot use PSRAM"):
        micropython.check(own, load_board("m5stack_core2_aws"))


class TestFlashSize:
    """The upper half of the fourth byte: 1 MiB times a power of two."""

    def test_a_bootloader_for_more_flash_than_the_board_has_is_refused(self, tmp_path: Path) -> None:
        firmware = bytearray(official.get("esp32-1.26.1"))
        firmware[3] = firmware[3] & 0x0F | 0x30
        assert micropython.read(bytes(firmware)).flash_size == 8 << 20
        # the bootloader carries a hash of its own, so what a real one for 8 MiB is, only the value shows
        found = replace(micropython.read(bytes(firmware)), problems=())
        with pytest.raises(BadInput, match=r"set to 8 MiB of flash, and would not start on the board's 4 MiB"):
            micropython.check(found, load_board("esp32_generic"))
        micropython.check(found, load_board("esp32_generic").with_flash(8 << 20))

    def test_a_table_that_ends_behind_it_is_refused(self, application: Path) -> None:
        firmware = bytearray(official.get("esp32-1.26.1"))
        table = [*partitions.decode(bytes(firmware[0x7000:])), Partition("logs", 1, 0x82, 0x400000, 0x100000)]
        firmware[0x7000 : 0x7000 + partitions.TABLE_SIZE] = partitions.encode(table)
        board = load_board("esp32_generic").with_flash(8 << 20)
        with pytest.raises(BadInput, match=r"partition logs ends at 0x500000, behind the 4 MiB of flash"):
            image.build(board, CONFIG, application, [], built=BUILT, micropython_bin=bytes(firmware))
