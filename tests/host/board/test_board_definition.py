from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet import resources
from rootlet.board.definition import Board, list_boards, load_board
from rootlet.cli.board.boards import command
from rootlet.errors import BadInput

GOOD = (resources.BOARDS / "esp32_generic" / "board.toml").read_text()


def broken(tmp_path: Path, before: str, after: str) -> str:
    assert before in GOOD
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "board.toml").write_text(GOOD.replace(before, after, 1))
    with pytest.raises(BadInput) as refusal:
        load_board("mine", tmp_path)
    return refusal.value.what


def test_adding_a_board_is_adding_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "board.toml").write_text(GOOD.replace("ESP32, 4 MiB", "Mine"))
    assert [board.name.split(" (")[0] for board in list_boards(tmp_path)] == ["Mine"]


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('chip = "esp32"', 'chip = "esp99"', "chip is 'esp99'"),
        ('chip = "esp32"', "", "chip is missing"),
        ('chip = "esp32"', 'chip = "esp32"\ncolour = "red"', "colour is not known"),
        ("micropython_offset = 0x1000", 'micropython_offset = "0x1000"', "micropython_offset is str; must be int"),
        ("offset = 0x9000", "offset = 0x8000", "partition nvs starts at 0x8000"),
        ("size = 0x2000", "size = 0x4000", "partition phy_init starts at 0xf000"),
        ("size = 0x4000", "size = 0x4001", "partition nvs: offset and size must be multiples"),
        ("offset = 0x10000", "offset = 0x11000", "an application must start at a multiple of 0x10000"),
        ("size = 0x1F0000", "size = 0x3F0000", "leave no room for vfs"),
        ("gc_area = 56736", 'gc_area = "56 KiB"', "memory.gc_area must be a number of bytes"),
        ("gc_area = 56736", "area = 56736", "memory.gc_area is missing; memory.area is not known"),
        ("boot = 147558", "", "memory.c_heap.1.23.0.boot is missing"),
        ("led = 2", 'led = "two"', "pins.led is not a GPIO number"),
        ('build = "ESP32_GENERIC"', "", "micropython.build is missing"),
        ('label = "esp_secure_cert"', 'label = "credentials"', "no partition esp_secure_cert"),
        ('subtype = "nvs"', 'subtype = "keys"', "partition nvs: unknown type or subtype"),
        ("flash_sizes = [0x400000", 'flash_sizes = ["4MB"', "flash_sizes must be sizes in bytes"),
    ],
)
def test_a_bad_file_is_named_key_by_key(tmp_path: Path, before: str, after: str, named: str) -> None:
    assert named in broken(tmp_path, before, after)


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    what = broken(tmp_path, 'chip = "esp32"\n', 'colour = "red"\n')
    assert "chip is missing" in what and "colour is not known" in what


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadInput) as refusal:
        load_board("esp8266")
    assert "esp32_generic_c3" in refusal.value.hint


def test_a_size_of_flash_that_is_not_sold_is_refused(board: Board) -> None:
    assert board.with_flash(8 << 20).vfs.end == 8 << 20
    with pytest.raises(BadInput, match="no variant with 3 MiB"):
        board.with_flash(3 << 20)


def test_the_boards_that_ship_are_listed() -> None:
    shown = CliRunner().invoke(command).output
    for name in ("esp32_generic", "esp32_generic_ota", "esp32_generic_s3", "esp32_generic_c3", "esp32_generic_c6"):
        assert name in shown
    assert "ATECC608" in shown
