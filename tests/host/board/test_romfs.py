"""Code in a partition ``romfs``: whether a MicroPython can run it there, the image, and what the commands make of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rootlet.board import firmware, flasher, image, inspect_board, inspect_image, micropython, partitions, repair, romfs
from rootlet.board.chip import Chip
from rootlet.board.definition import Board
from rootlet.cli.board import image as cli
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity
from support import official
from support.download_mode import DownloadMode
from support.flashkit import BUILT, CONFIG, rehash

STOCK = sorted(official.DIRECTORY.glob("*.bin"))


@pytest.fixture(scope="session")
def able(release: bytes) -> bytes:
    """The official 1.25.0 with the two names that MICROPY_VFS_ROM adds, in the place of two others.

    No registry carries a build with ROMFS. It shows how the file is read, not that such a build runs.
    """
    build = bytearray(release)
    for name, instead in ((b"ViperTypeError\0", b"VfsRom\0"), (b"WAKEUP_ANY_HIGH\0", b"rom_ioctl\0")):
        at = build.index(name)
        build[at : at + len(instead)] = instead
    return rehash(build)


def with_table(build: bytes, table: list[partitions.Partition]) -> bytes:
    return build[:0x7000] + partitions.encode(table) + build[0x7000 + partitions.TABLE_SIZE :]


@pytest.fixture(scope="session")
def in_place(board: Board, application: Path, identity: DeviceIdentity) -> bytes:
    return image.build(board, CONFIG, application, [], built=BUILT, identity=identity, in_place="yes").flash


NAMES = st.text("abcdefghijklmnop._-", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(PATHS, st.binary(max_size=300), max_size=8))
def test_what_is_written_is_read_again(files: dict[str, bytes]) -> None:
    # A name cannot be file and directory at once.
    sound = {name: data for name, data in files.items() if not any(other.startswith(name + "/") for other in files)}
    partition = romfs.build(sound).ljust(0x4000, b"\xff")
    assert romfs.read(partition) == sound


def test_micropython_reads_the_same_files(tmp_path: Path) -> None:
    files = {"/a.mpy": b"1" * 200, "/parts/b.txt": b"", "/parts/deep/c.bin": bytes(range(256)) * 80}
    (tmp_path / "rom.bin").write_bytes(romfs.build(files))
    script = (
        "import vfs, json\n"
        f"vfs.mount(vfs.VfsRom(open({str(tmp_path / 'rom.bin')!r}, 'rb').read()), '/rom')\n"
        f"print(json.dumps([len(open('/rom' + name, 'rb').read()) for name in {sorted(files)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-m", "micropython_unix", "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == [len(files[name]) for name in sorted(files)]


@pytest.mark.parametrize("cut", [4, 7, 40, 300])
def test_a_damaged_image_is_said_to_be_one(cut: int) -> None:
    whole = romfs.build({"/a": b"x" * 100, "/b/c": b"y" * 200})
    with pytest.raises(BadInput, match="no ROMFS image begins there"):
        romfs.read(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(BadInput, match="no ROMFS image begins there"):
        romfs.read(b"\xff" * 64)


@pytest.mark.skipif(not STOCK, reason="the official binaries are not in ../shared/firmware")
@pytest.mark.parametrize("path", STOCK, ids=lambda path: path.name)
def test_official_builds_cannot_run_code_in_place_and_are_said_so(path: Path) -> None:
    found = micropython.read(path.read_bytes())
    assert not found.romfs and not found.leaf_frozen and not found.problems


@pytest.mark.parametrize("lacking", micropython.ROMFS_NAMES)
def test_a_build_with_one_of_the_two_names_cannot_run_code_in_place(able: bytes, lacking: bytes) -> None:
    assert micropython.read(able).romfs
    assert not micropython.read(rehash(bytearray(able.replace(lacking, lacking.swapcase())))).romfs


def test_the_names_that_tell_are_in_a_build_with_romfs() -> None:
    # The Unix port has VfsRom, and no rom_ioctl: its qstrs lie in the file as an ESP32's do.
    import micropython_run

    unix = Path(micropython_run.__file__).read_bytes()
    assert [name in unix for name in micropython.ROMFS_NAMES] == [True, False]


def test_a_build_without_romfs_gets_its_code_into_vfs_and_the_command_says_why(
    release: bytes, application: Path, tmp_path: Path
) -> None:
    (tmp_path / "mp.bin").write_bytes(release)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    command = ["build", "--micropython", tmp_path / "mp.bin", "--config", tmp_path / "config.json", "--app", application]
    result = CliRunner().invoke(cli.command, [*map(str, command), "-o", str(tmp_path / "flash.bin")])
    assert "vfs, copied to RAM when imported: this MicroPython was built without ROMFS" in result.output, result.output
    found = inspect_image.inspect((tmp_path / "flash.bin").read_bytes())
    assert found.romfs is None and "/leaf/device.mpy" in found.files
    refused = CliRunner().invoke(cli.command, [*map(str, command), "-o", str(tmp_path / "no.bin"), "--romfs", "yes"])
    assert isinstance(refused.exception, BadInput) and "built without ROMFS" in refused.exception.what
    assert not (tmp_path / "no.bin").exists()


def test_a_build_with_romfs_gets_a_partition_behind_the_rest(able: bytes, board: Board, application: Path) -> None:
    flash = image.build(board, CONFIG, application, [], built=BUILT, micropython_bin=able).flash
    found = inspect_image.inspect(flash)
    place = partitions.find(found.partitions, "romfs")
    assert (place.type, place.subtype, place.offset, place.size) == (1, 0x8F, 0x200000, 0x20000) and place.encrypted
    assert found.vfs is not None and (found.vfs.offset, found.vfs.end) == (0x220000, 0x400000)
    assert found.romfs and "/leaf/device.mpy" in found.romfs and "/main.py" in found.files
    assert found.micropython and found.micropython.romfs and not found.micropython_problem
    assert found.json_file("/build.json")["code"] == "romfs"
    left = image.build(board, CONFIG, application, [], built=BUILT, micropython_bin=able, in_place="no")
    assert inspect_image.inspect(left.flash).romfs is None and left.code.endswith("as asked")


def own_table(size: int) -> list[partitions.Partition]:
    """As MicroPython's partitions-4MiB-romfs.csv, with a romfs of another size."""
    return [
        partitions.Partition("nvs", 1, 2, 0x9000, 0x6000),
        partitions.Partition("phy_init", 1, 1, 0xF000, 0x1000),
        partitions.Partition("factory", 0, 0, 0x10000, 0x1D0000),
        partitions.Partition("romfs", 1, 0x8F, 0x1E0000, size),
    ]


def test_the_partition_that_a_build_has_is_taken(able: bytes, board: Board, application: Path) -> None:
    build = with_table(able, own_table(0x20000))
    found = inspect_image.inspect(image.build(board, CONFIG, application, [], micropython_bin=build).flash)
    assert partitions.find(found.partitions, "romfs").offset == 0x1E0000 and found.romfs
    assert found.vfs is not None and found.vfs.offset == 0x200000


def test_code_that_does_not_fit_is_refused_with_both_sizes(able: bytes, board: Board, application: Path) -> None:
    build = with_table(able, own_table(0x1000))
    with pytest.raises(BadInput, match=r"the code takes \d+ bytes, the romfs partition of this MicroPython has 4096") as no:
        image.build(board, CONFIG, application, [], micropython_bin=build)
    assert "--romfs no" in no.value.hint
    flash = image.build(board, CONFIG, application, [], micropython_bin=build, in_place="no").flash
    assert inspect_image.inspect(flash).romfs == {}


def test_a_directory_with_files_of_its_own_stays_in_vfs_as_a_whole() -> None:
    names = {
        "/main.py",
        "/app.mpy",
        "/parts/a.mpy",
        "/parts/table.csv",
        "/other/b.mpy",
        "/page.html",
        "/leaf-data/faults.txt",
    }
    assert firmware.in_place(names) == {"/app.mpy", "/other/b.mpy", "/leaf-data/faults.txt"}


def test_inspect_and_diff_know_the_partition_down_to_the_files(
    in_place: bytes, full: bytes, board: Board, identity: DeviceIdentity, tmp_path: Path
) -> None:
    other_app = tmp_path / "blink.py"
    other_app.write_text("print('another')\n")
    other = image.build(board, CONFIG, other_app, [], built=BUILT, identity=identity, in_place="yes").flash
    told = {difference.where: difference.what for difference in inspect_image.diff(in_place, other)}
    assert set(told) == {"romfs:/app.mpy"} and "→" in told["romfs:/app.mpy"]
    assert not inspect_image.diff(in_place, in_place)
    (tmp_path / "flash.bin").write_bytes(in_place)
    facts = json.loads(CliRunner().invoke(cli.command, ["inspect", "--json", str(tmp_path / "flash.bin")]).output)
    assert "/leaf/device.mpy" in facts["romfs"] and facts["romfs_problem"] is None
    assert "/leaf/device.mpy" in CliRunner().invoke(cli.command, ["inspect", str(tmp_path / "flash.bin")]).output
    assert {"romfs:/app.mpy", "vfs:/app.mpy"} <= {difference.where for difference in inspect_image.diff(full, in_place)}


def test_flash_verify_and_repair_know_the_partition(
    in_place: bytes, full: bytes, identity: DeviceIdentity, tmp_path: Path
) -> None:
    with DownloadMode(flash=full) as mock:
        with Chip(mock.port) as chip:
            flasher.burn(chip, flasher.regions(in_place))
            assert not inspect_board.verify(chip, in_place, identity)
        place = partitions.find(inspect_image.inspect(in_place).partitions, "romfs")
        mock.memory.data[place.offset + romfs.size(in_place[place.offset : place.end]) - 20] ^= 1
        with Chip(mock.port) as chip:
            assert [mismatch.where.split(":")[0] for mismatch in inspect_board.verify(chip, in_place, identity)] == ["romfs"]
            done = repair.repair(chip, in_place, backups=tmp_path / "backups")
            assert done.outcome.regions == ("romfs",) and not inspect_board.verify(chip, in_place, identity)
            # Back to code in vfs: the partition goes, vfs begins where it was, and the identity stays.
            repair.repair(chip, full, backups=tmp_path / "backups")
            assert not inspect_board.verify(chip, full, identity)
