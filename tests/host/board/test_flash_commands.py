"""The commands of the field engineer, on real esptool against a mock ROM bootloader, through the command line."""

import json
import os
import pty
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rootlet.board import inspect_image
from rootlet.cli.main import rootlet
from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity
from support.download_mode import DownloadMode
from support.flashkit import mint


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(rootlet, [str(argument) for argument in arguments])
    if isinstance(result.exception, RootletError):
        raise result.exception
    return result


@pytest.fixture
def desk(tmp_path: Path, golden: bytes, full: bytes, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as a user has it: a golden image, a device's image, and identities."""
    (tmp_path / "golden.bin").write_bytes(golden)
    (tmp_path / "full.bin").write_bytes(full)
    identity.save(tmp_path / "devices" / identity.thing)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.usefixtures("desk")
class TestFlash:
    def test_one_command_makes_a_device_that_boots(self, full: bytes, tmp_path: Path) -> None:
        with DownloadMode() as board:
            result = run("flash", "--bare", "golden.bin", "--thing", "sensor-1", "--port", board.port)
            assert result.exit_code == 0, result.output
            assert board.flash == full
        assert "is sensor-1, certificate" in result.stdout and "bytes sent" in result.stdout
        # what the bootloader received is what the virtual board boots
        (tmp_path / "received.bin").write_bytes(board.flash)
        with VirtualBoard(tmp_path / "received.bin", BoardSettings(max_resets=0)) as booted:
            booted.wait_for("application runs")

    def test_a_second_run_sends_next_to_nothing(self, full: bytes) -> None:
        with DownloadMode(flash=full) as board:
            facts = json.loads(run("flash", "--bare", "full.bin", "--port", board.port, "--json").stdout)
        assert facts["written"] == 0 and facts["sent"] < 2000
        assert facts["thing"] == "sensor-1"

    def test_identity_only(self, golden: bytes, full: bytes) -> None:
        with DownloadMode(flash=golden) as board:
            run("flash", "--identity-only", "--thing", "sensor-1", "--port", board.port)
            assert board.flash == full

    def test_the_wrong_chip_is_refused(self) -> None:
        with DownloadMode("esp32s3") as board:
            with pytest.raises(BadInput, match="is an ESP32-S3; the image is for esp32"):
                run("flash", "--bare", "golden.bin", "--thing", "sensor-1", "--port", board.port)
            assert set(board.flash) == {0xFF}

    def test_an_image_of_another_thing_is_refused(self) -> None:
        with pytest.raises(BadInput, match="the image is of sensor-1, not of sensor-2"):
            run("flash", "--bare", "full.bin", "--thing", "sensor-2", "--port", "socket://127.0.0.1:1")

    @pytest.mark.parametrize("command", [("flash", "--thing", "sensor-1"), ("repair",)])
    def test_a_board_does_not_lose_its_micropython_to_an_image_without(self, command: tuple[str, ...]) -> None:
        with pytest.raises(BadInput, match="holds no MicroPython"):
            run(*command, "golden.bin", "--port", "socket://127.0.0.1:1")

    def test_a_golden_image_needs_a_name(self) -> None:
        with pytest.raises(BadInput, match="which device"):
            run("flash", "--bare", "golden.bin", "--port", "socket://127.0.0.1:1")

    def test_another_things_identity_is_not_lost_unasked(self, full: bytes, issuer: Issuer, tmp_path: Path) -> None:
        mint(issuer, "sensor-9").save(tmp_path / "devices" / "sensor-9")
        arguments = ("flash", "--bare", "golden.bin", "--thing", "sensor-9", "--port")
        with DownloadMode(flash=full) as board:
            with pytest.raises(BadInput, match="carries the identity of sensor-1"):
                run(*arguments, board.port)
            assert board.flash == full
            run(*arguments, board.port, "--replace")
            found = inspect_image.inspect(board.flash).identity
            assert found is not None and found.thing == "sensor-9"

    def test_what_is_no_image_of_ours_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "other.bin").write_bytes(b"\xff" * 0x400000)
        with pytest.raises(BadInput, match="no partition table"):
            run("flash", "--bare", "other.bin", "--thing", "sensor-1", "--port", "socket://127.0.0.1:1")


@pytest.mark.usefixtures("desk")
class TestTheOthers:
    def test_verify(self, full: bytes) -> None:
        with DownloadMode(flash=full) as board:
            assert run("verify", "golden.bin", "--thing", "sensor-1", "--port", board.port).exit_code == 0
            board.memory.data[0x20000] = 0
            result = run("verify", "golden.bin", "--thing", "sensor-1", "--port", board.port)
        assert result.exit_code == 1 and "factory" in result.stdout

    def test_info(self, full: bytes, identity: DeviceIdentity) -> None:
        with DownloadMode(flash=full, mac="24:0a:c4:aa:bb:cc") as board:
            result = run("info", "--port", board.port)
            facts = json.loads(run("info", "--port", board.port, "--json").stdout)
        assert "24:0a:c4:aa:bb:cc" in result.stdout and identity.certificate_id in result.stdout
        assert facts["identity"]["thing"] == "sensor-1"

    def test_repair(self, full: bytes, golden: bytes) -> None:
        damaged = bytearray(full)
        damaged[0x200000:0x210000] = bytes(0x10000)
        with DownloadMode(flash=bytes(damaged)) as board:
            result = run("repair", "--bare", "golden.bin", "--port", board.port)
            assert "is sensor-1, as before" in result.stdout
            assert board.flash == full

    def test_a_board_without_identity_is_not_repaired(self, golden: bytes) -> None:
        with DownloadMode(flash=golden) as board, pytest.raises(BadInput, match="no identity to keep"):
            run("repair", "--bare", "golden.bin", "--port", board.port)

    def test_erase_wants_the_name_of_a_device(self, full: bytes) -> None:
        with DownloadMode(flash=full) as board:
            with pytest.raises(BadInput, match="carries the identity of sensor-1"):
                run("erase", "--port", board.port)
            assert board.flash == full
            run("erase", "--port", board.port, "--thing", "sensor-1")
            assert set(board.flash) == {0xFF}

    def test_monitor_shows_the_log_of_a_pty(self) -> None:
        master, slave = pty.openpty()
        stop = threading.Event()

        def talk() -> None:  # again and again: what comes before the port is open is lost, as on a real line
            while not stop.wait(0.05):
                os.write(master, b"1 boot\r\n12 mqtt: first puback\r\n")

        writer = threading.Thread(target=talk)
        writer.start()
        try:
            result = run("monitor", "--port", os.ttyname(slave), "--until", "first puback")
        finally:
            stop.set()
            writer.join()
            os.close(master)
            os.close(slave)
        assert result.stdout.endswith("12 mqtt: first puback\n")

    def test_a_port_that_is_not_there_is_told(self) -> None:
        with pytest.raises(RootletError, match="cannot read /dev/no-such-port"):
            run("monitor", "--port", "/dev/no-such-port")


def test_a_boards_roots_and_chain_are_seen_over_its_port(full: bytes) -> None:
    from rootlet.cli.trust import chain

    with DownloadMode(flash=full) as board:
        result = CliRunner().invoke(chain.command, ["--port", board.port, "--json"])
    assert result.exit_code == 0, repr(result.exception)
    report = json.loads(result.stdout)
    assert sorted(report["roots"]) == ["amazon-root-ca-1", "amazon-root-ca-3"]
    assert report["chains"][0]["certificates"][0]["subject"] == "CN=sensor-1"
