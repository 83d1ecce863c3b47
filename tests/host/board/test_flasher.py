"""Flashing with the real esptool library against a mock ROM bootloader; then the virtual board boots what it received."""

import functools
import json
import re
import threading
from pathlib import Path

import pytest
from esp32_mock_bootloader import server
from rootlet.board import credentials, filesystem, flasher, image, inspect_board, inspect_image, repair, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.definition import load_board
from rootlet.errors import BadInput, RootletError
from rootlet.pki import certificates
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import load_manifest
from support.download_mode import DownloadMode
from support.flashkit import BUILT, CONFIG, mint

CHIPS = {
    "esp32": "esp32_generic",
    "esp32s3": "esp32_generic_s3",
    "esp32c3": "esp32_generic_c3",
    "esp32c6": "esp32_generic_c6",
}
OVERHEAD = 1024  # bytes on the wire beside the payload, stub and hashes apart


@functools.cache
def firmware_for(chip: str, application: Path, keep_alive: int = 60) -> bytes:
    board = load_board(CHIPS[chip]).with_flash(4 << 20)
    return image.build(
        board, CONFIG | {"keep_alive": keep_alive}, application, load_manifest().defaults(), built=BUILT
    ).flash


@pytest.mark.parametrize("chip_name", CHIPS)
def test_a_new_board_becomes_the_device(chip_name: str, application: Path, identity: DeviceIdentity) -> None:
    flash = flasher.with_identity(firmware_for(chip_name, application), identity)
    with DownloadMode(chip_name) as board, Chip(board.port, chip=chip_name) as chip:
        outcome = flasher.burn(chip, flasher.regions(flash))
        assert board.flash == flash
        assert inspect_board.verify(chip, flash, identity) == []
        assert outcome.written < 400_000 and outcome.total == len(flash)  # the erased rest is not written
        assert flasher.burn(chip, flasher.regions(flash)).written == 0


@pytest.mark.parametrize("chip_name", CHIPS)
def test_an_identity_alone_takes_one_partition_on_the_wire(
    chip_name: str, application: Path, identity: DeviceIdentity, other_identity: DeviceIdentity
) -> None:
    golden = firmware_for(chip_name, application)
    with DownloadMode(chip_name, flash=golden) as board, Chip(board.port) as chip:
        outcome = flasher.write_identity(chip, identity)
        assert board.flash == flasher.with_identity(golden, identity)
        assert outcome.regions == ("esp_secure_cert",)
        assert outcome.written <= 0x2000 and outcome.sent <= 0x2000 + OVERHEAD
        flasher.write_identity(chip, other_identity)
        assert board.flash == flasher.with_identity(golden, other_identity)


@pytest.mark.parametrize("chip_name", CHIPS)
def test_a_repair_keeps_identity_and_state(
    chip_name: str, application: Path, identity: DeviceIdentity, tmp_path: Path
) -> None:
    before = with_state(flasher.with_identity(firmware_for(chip_name, application), identity))
    after = firmware_for(chip_name, application, keep_alive=120)
    with DownloadMode(chip_name, flash=before) as board, Chip(board.port) as chip:
        done = repair.repair(chip, after, backups=tmp_path / "backups")
        found = inspect_image.inspect(board.flash)
    assert done.identity.certificate_id == identity.certificate_id
    assert found.identity is not None and found.identity.certificate_id == identity.certificate_id
    assert done.kept == ("/counter.txt", "/state/outbox") and not done.resumed
    assert found.files["/state/outbox"] == b"unsent" and found.files["/counter.txt"] == b"41"
    assert found.json_file("/config.json")["keep_alive"] == 120
    assert board.flash[0x9000:0xD000] == before[0x9000:0xD000]  # nvs
    assert list((tmp_path / "backups").iterdir()) == []


def with_state(flash: bytes) -> bytes:
    """As after some time in the field: files of the device's own, and nvs written to."""
    vfs = inspect_image.inspect(flash).vfs
    assert vfs is not None
    files = filesystem.read(flash[vfs.offset : vfs.end]) | {"/state/outbox": b"unsent", "/counter.txt": b"41"}
    content = filesystem.build(files, vfs.size)
    return flash[:0x9000] + b"calibration".ljust(0x4000, b"\xff") + flash[0xD000 : vfs.offset] + content


def test_a_repair_of_a_board_without_a_table_keeps_its_state(full: bytes, application: Path, tmp_path: Path) -> None:
    damaged = bytearray(with_state(full))
    damaged[0x8000:0x9000] = b"\xff" * 0x1000
    with DownloadMode(flash=bytes(damaged)) as board, Chip(board.port) as chip:
        done = repair.repair(chip, firmware_for("esp32", application), backups=tmp_path)
        assert done.kept and done.state_problem is None
        assert inspect_image.inspect(board.flash).files["/state/outbox"] == b"unsent"


def test_a_repair_says_why_it_keeps_no_state(full: bytes, application: Path, tmp_path: Path) -> None:
    damaged = bytearray(with_state(full))
    damaged[0x200000:0x202000] = bytes(0x2000)
    with DownloadMode(flash=bytes(damaged)) as board, Chip(board.port) as chip:
        done = repair.repair(chip, firmware_for("esp32", application), backups=tmp_path)
    assert done.kept == () and "no LittleFS" in str(done.state_problem)


def test_a_serial_port_is_sped_up_and_its_board_restarted(full: bytes) -> None:
    """A pty instead of a socket: the baud rate is changed and the reset line exists, as on a USB bridge."""
    terminal, stop = server.PtyMasterTransport.create(), threading.Event()
    memory = DownloadMode(flash=full).memory
    connection = server.BootloaderConnection(pty=terminal)
    served = threading.Thread(target=server.handle_client, args=(connection, stop, "esp32"), kwargs={"flash": memory})
    served.start()
    try:
        with Chip(terminal.client_path, chip="esp32", baud=921_600) as chip:
            assert chip._open.get_baud() == 921_600
            facts = inspect_board.info(chip)
            assert facts["identity"]["thing"] == "sensor-1" and facts["problems"] == []
            assert chip.restart()
    finally:
        stop.set()
        served.join(5)
        terminal.close()


class TestFaults:
    def test_a_byte_flipped_on_the_way_is_noticed(self, golden: bytes) -> None:
        with DownloadMode() as board, Chip(board.port) as chip:
            board.faults.flip_on_write = 0x200010
            with pytest.raises(RootletError, match="vfs at 0x200000 differs from what was written"):
                flasher.burn(chip, flasher.regions(golden))
            board.faults.flip_on_write = None
            flasher.burn(chip, flasher.regions(golden))
            assert board.flash == golden

    @pytest.mark.parametrize("operations", [0, 10, 50, 90, 110])
    def test_a_lost_connection_is_told_and_a_second_run_completes(self, full: bytes, operations: int) -> None:
        with DownloadMode() as board:
            board.faults.drop_after = operations
            with Chip(board.port) as chip, pytest.raises(RootletError, match="lost the connection") as lost:
                flasher.burn(chip, flasher.regions(full))
            assert "run the command again" in lost.value.hint
            assert inspect_image.inspect(with_table(board.flash, full)).identity is None  # credentials come last
            with Chip(board.port) as chip:
                flasher.burn(chip, flasher.regions(full))
            assert board.flash == full

    @pytest.mark.parametrize("operations", [0, 5, 40, 60, 75, 90])
    def test_an_interrupted_repair_loses_no_state(
        self, full: bytes, application: Path, identity: DeviceIdentity, tmp_path: Path, operations: int
    ) -> None:
        after = firmware_for("esp32", application, keep_alive=120)
        with DownloadMode(flash=with_state(full)) as board:
            board.faults.drop_after = operations
            with Chip(board.port) as chip, pytest.raises(RootletError, match="lost the connection"):
                repair.repair(chip, after, backups=tmp_path)
            saved = list(tmp_path.iterdir())
            if saved:
                assert saved[0].stat().st_mode & 0o777 == 0o600
                # the worst place to be interrupted in: the file system's superblocks are gone
                board.memory.erase_region(0x200000, 0x2000)
            else:
                assert board.flash == with_state(full), "nothing is written before the state is saved"
            with Chip(board.port) as chip:
                assert repair.repair(chip, after, backups=tmp_path).resumed == bool(saved)
            found = inspect_image.inspect(board.flash)
        assert found.files["/state/outbox"] == b"unsent"
        assert found.identity is not None and found.identity.thing == identity.thing
        assert list(tmp_path.iterdir()) == []

    def test_the_wrong_chip_is_refused_before_anything_is_sent(self, golden: bytes) -> None:
        with DownloadMode("esp32c3") as board:
            with pytest.raises(BadInput, match="is an ESP32-C3; the image is for esp32"):
                Chip(board.port, chip="esp32")
            assert set(board.flash) == {0xFF}

    def test_no_answer_is_told(self) -> None:
        with DownloadMode() as board:
            board.faults.silent = True
            with pytest.raises(RootletError, match="no answer from the chip") as refusal:
                Chip(board.port, attempts=1)
            assert "hold BOOT" in refusal.value.hint

    def test_no_port_is_told(self) -> None:
        with pytest.raises(RootletError, match="no answer from the chip on /dev/no-such-port"):
            Chip("/dev/no-such-port", attempts=1)

    def test_credentials_that_read_back_differently_are_noticed(self, full: bytes, identity: DeviceIdentity) -> None:
        with DownloadMode() as board, Chip(board.port) as chip:
            flasher.burn(chip, flasher.regions(full))
            board.faults.flip_on_read = 0xD020
            with pytest.raises(RootletError, match=r"read back differently|Digest mismatch"):
                flasher.check_identity(chip, identity, flasher.read_table(chip))

    def test_credentials_of_another_device_are_noticed(self, full: bytes, other_identity: DeviceIdentity) -> None:
        with DownloadMode(flash=full) as board, Chip(board.port) as chip:
            table = flasher.read_table(chip)
            with pytest.raises(RootletError, match="carries sensor-1"):
                flasher.check_identity(chip, other_identity, table)

    def test_an_image_for_another_size_of_flash_is_refused(self, application: Path) -> None:
        larger = image.build(load_board("esp32_generic").with_flash(8 << 20), CONFIG, application, [], built=BUILT).flash
        with DownloadMode() as board, Chip(board.port) as chip:
            with pytest.raises(BadInput, match="for 8 MiB of flash, the chip has 4 MiB") as refusal:
                flasher.check_fit(chip, larger)
            assert "--flash-size 4" in refusal.value.hint

    def test_somebody_elses_identity_is_not_overwritten(
        self, full: bytes, identity: DeviceIdentity, other_identity: DeviceIdentity
    ) -> None:
        with DownloadMode(flash=full) as board, Chip(board.port) as chip:
            with pytest.raises(BadInput, match="carries the identity of sensor-1"):
                credentials.guard(chip, other_identity, replace=False)
            credentials.guard(chip, identity, replace=False)
            credentials.guard(chip, other_identity, replace=True)

    @pytest.mark.parametrize("operations", range(2))
    def test_a_lost_connection_is_not_taken_for_a_board_without_an_identity(
        self, full: bytes, other_identity: DeviceIdentity, operations: int
    ) -> None:
        for look in (lambda chip: credentials.guard(chip, other_identity, replace=False), inspect_board.info):
            with DownloadMode(flash=full) as board, Chip(board.port) as chip:
                board.faults.drop_after = operations
                with pytest.raises(RootletError, match="lost the connection"):
                    look(chip)


def with_table(flash: bytes, image_bytes: bytes) -> bytes:
    """An interrupted flash with the image's partition table, so that it can be looked into."""
    return flash[:0x8000] + image_bytes[0x8000:0x9000] + flash[0x9000:]


class TestVerify:
    def test_names_what_differs(self, full: bytes, identity: DeviceIdentity) -> None:
        damaged = bytearray(full)
        damaged[0x12345] = 0
        place = full.find(b'{"endpoint"')
        damaged[place + 14] ^= 1
        with DownloadMode(flash=bytes(damaged)) as board, Chip(board.port) as chip:
            found = {mismatch.where: mismatch.what for mismatch in inspect_board.verify(chip, full, identity)}
        assert "1 sector differs at 0x12000" in found["factory"]
        assert any(re.match("vfs", where) for where in found)

    def test_is_content_with_a_board_that_wrote_state(self, full: bytes, identity: DeviceIdentity) -> None:
        with DownloadMode(flash=with_state(full)) as board, Chip(board.port) as chip:
            assert inspect_board.verify(chip, full, identity) == []

    def test_names_a_missing_identity(self, golden: bytes) -> None:
        with DownloadMode(flash=golden) as board, Chip(board.port) as chip:
            assert inspect_board.verify(chip, golden, None) == [inspect_board.Mismatch("identity", "none")]


class TestInfo:
    def test_says_which_device_it_is_and_changes_nothing(self, full: bytes, identity: DeviceIdentity) -> None:
        flash = with_state(full)
        with DownloadMode(flash=flash, mac="24:0a:c4:00:11:22") as board, Chip(board.port) as chip:
            facts = inspect_board.info(chip)
            received = chip.wire.received
            assert board.flash == flash
        assert facts["mac"] == "24:0a:c4:00:11:22"
        assert facts["identity"]["thing"] == "sensor-1"
        assert facts["identity"]["certificate_id"] == identity.certificate_id
        assert facts["firmware"]["leaf"] and facts["problems"] == []
        assert facts["state"] == ["/counter.txt", "/state/outbox"]
        assert received < 150_000, "it reads what it needs, not the whole flash"
        assert "PRIVATE" not in json.dumps(facts, default=str)

    def test_tells_what_is_damaged(self, full: bytes) -> None:
        damaged = bytearray(full)
        damaged[0xD010] ^= 1
        damaged[0x200000:0x202000] = b"\xff" * 0x2000
        with DownloadMode(flash=bytes(damaged)) as board, Chip(board.port) as chip:
            problems = inspect_board.info(chip)["problems"]
        assert "CRC does not match" in problems[0] and "no LittleFS" in problems[1]

    def test_of_an_erased_chip(self) -> None:
        with DownloadMode() as board, Chip(board.port) as chip:
            assert "no partition table" in inspect_board.info(chip)["problems"][0]


def test_credentials_whose_checksum_ends_like_erased_flash_are_read_back_whole(
    application: Path, issuer: certificates.Issuer
) -> None:
    golden = firmware_for("esp32", application)
    while True:  # one in 256 is
        made = mint(issuer, "odd")
        odd = DeviceIdentity("odd", made.certificate, made.key)  # the key's entry comes last, and its checksum with it
        if len(secure_cert.from_identity(odd).rstrip(b"\xff")) % secure_cert.ALIGNMENT:
            break
    with DownloadMode(flash=golden) as board, Chip(board.port) as chip:
        flasher.write_identity(chip, odd)
        assert board.flash == flasher.with_identity(golden, odd)
