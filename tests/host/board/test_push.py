"""The developer's loop against a virtual board that speaks the raw REPL on a pty: the Unix port, booted from an image."""

import json
import os
import pty
import shutil
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner
from rootlet import resources
from rootlet.board import firmware, image, inspect_image
from rootlet.board.definition import Board
from rootlet.board.repl import Repl
from rootlet.cli.board import push as cli
from rootlet.errors import RootletError
from rootlet.pki.identity import DeviceIdentity
from support.flashkit import CONFIG
from support.serial_board import SerialBoard


@pytest.fixture
def flash(tmp_path: Path, full: bytes) -> Path:
    path = tmp_path / "flash.bin"
    path.write_bytes(full)
    return path


def application(directory: Path, text: str) -> Path:
    (directory / "app").mkdir(exist_ok=True)
    (directory / "app" / "main.py").write_text(f"print({text!r})\n")
    return directory / "app"


def pushed(port: str, *arguments: str | Path) -> str:
    result = CliRunner().invoke(cli.command, [str(argument) for argument in (*arguments, "--port", port)])
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_only_changed_files_are_sent_and_the_board_runs_them(flash: Path, tmp_path: Path) -> None:
    with SerialBoard(flash) as line:
        first = pushed(line.port, application(tmp_path, "second edition"), "--until", "second edition")
        assert "1 file sent" in first.splitlines()[0] and first.splitlines()[-1] == "second edition"
        again = pushed(line.port, application(tmp_path, "second edition"), "--until", "second edition")
        assert "0 files sent" in again.splitlines()[0]
    assert inspect_image.inspect(flash.read_bytes()).identity is not None


def test_a_running_application_is_stopped_for_the_push(flash: Path, tmp_path: Path) -> None:
    source = application(tmp_path, "")
    (source / "main.py").write_text("import time\nprint('busy')\nwhile True:\n    time.sleep(1)\n")
    with SerialBoard(flash) as line:
        pushed(line.port, source, "--until", "busy")
        assert "1 file sent" in pushed(line.port, application(tmp_path, "third edition"), "--until", "third edition")


def test_characters_that_the_line_loses_are_sent_again(flash: Path, tmp_path: Path) -> None:
    lost = [b"\x01"]
    with SerialBoard(flash, lost=lost) as line, Repl(line.port) as board:
        assert not lost
        board.push({"/main.py": b"print('rebooted')"})
        lost.append(b"\x04")
        board.restart()
        assert not lost and "rebooted" in board.lines()


def test_a_port_without_a_prompt_is_named_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    board_end, port_end = pty.openpty()
    with pytest.raises(RootletError, match="no MicroPython prompt") as caught:
        Repl(os.ttyname(port_end))
    os.close(board_end)
    os.close(port_end)
    assert "check the port" in str(caught.value.hint) and not capsys.readouterr().out


def test_a_boot_that_is_cut_short_leaves_no_prompt_on_the_files_of_the_host(tmp_path: Path) -> None:
    heard = b""
    with SerialBoard(tmp_path / "no-such-flash") as board, serial.Serial(board.port, timeout=0.1) as line:
        while heard.count(b"ENOENT") < 2:
            line.write(b"\r\x03\r\x01")
            heard += line.read(4096)
    assert b"raw REPL" not in heard and b">>>" not in heard


@pytest.mark.parametrize(
    "source", ["import time\nprint('up')\nwhile True: time.sleep(1)", "print('up')"], ids=["interrupted", "at its end"]
)
def test_resets_at_the_console_are_no_failed_boots(flash: Path, tmp_path: Path, source: str) -> None:
    application(tmp_path, "")
    (tmp_path / "app" / "main.py").write_text(source)
    with SerialBoard(flash, {"reset_cause": "reset"}) as line:
        pushed(line.port, tmp_path / "app", "--until", "up")
        for _ in range(6):
            with Repl(line.port) as board:
                board.restart()
                assert next(line for line in board.lines() if line == "up" or "safe-mode" in line) == "up"


def test_files_that_are_gone_are_removed_and_state_stays(flash: Path, tmp_path: Path) -> None:
    source = application(tmp_path, "with helper")
    (source / "parts").mkdir()
    (source / "parts" / "helper.py").write_text("x = 1\n")
    with SerialBoard(flash) as line:
        pushed(line.port, source, "--until", "with helper")
        with Repl(line.port) as board:
            board._transport.fs_writefile("/counter.txt", b"41")
        assert "/parts/helper.mpy" in inspect_image.inspect(flash.read_bytes()).files
        (source / "parts" / "helper.py").unlink()
        assert "1 removed" in pushed(line.port, source, "--until", "with helper")
    found = inspect_image.inspect(flash.read_bytes()).files
    assert "/parts/helper.mpy" not in found and found["/counter.txt"] == b"41"
    assert "/roots/amazon-root-ca-1.der" in found
    assert json.loads(found[firmware.MANIFEST]) == sorted(json.loads(found[firmware.MANIFEST]))


def not_its_own(flash: Path) -> dict[str, bytes]:
    """The files in flash but for those that the device itself writes."""
    return {
        name: data
        for name, data in inspect_image.inspect(flash.read_bytes()).files.items()
        if not name.startswith("/state/")
    }


def test_a_configuration_is_checked_before_it_is_sent(flash: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"prot": 1}))
    before = not_its_own(flash)
    with SerialBoard(flash) as line:
        arguments = [str(application(tmp_path, "x")), "--config", str(tmp_path / "config.json"), "--port", line.port]
        result = CliRunner().invoke(cli.command, arguments)
    assert isinstance(result.exception, RootletError) and "prot is not a known key" in result.exception.what
    assert not_its_own(flash) == before


def test_a_port_without_a_board_is_told(tmp_path: Path) -> None:
    with pytest.raises(RootletError, match="no MicroPython prompt on /dev/no-such-port"):
        Repl("/dev/no-such-port")


@pytest.fixture
def flash_in_place(tmp_path: Path, board: Board, identity: DeviceIdentity) -> Path:
    """A board whose code is in romfs."""
    made = image.build(board, CONFIG, application(tmp_path, "from rom"), [], identity=identity, in_place="yes")
    path = tmp_path / "in-place.bin"
    path.write_bytes(made.flash)
    return path


def test_what_romfs_holds_already_is_not_sent(flash_in_place: Path, tmp_path: Path) -> None:
    with SerialBoard(flash_in_place) as line:
        assert pushed(line.port, application(tmp_path, "from rom"), "--until", "from rom").startswith("0 files sent")


def test_a_push_takes_precedence_over_romfs_until_romfs_is_pushed_again(flash_in_place: Path, tmp_path: Path) -> None:
    with SerialBoard(flash_in_place) as line:
        changed = pushed(line.port, application(tmp_path, "from vfs"), "--until", "from vfs")
        assert changed.startswith("1 file sent") and "/app.mpy" in inspect_image.inspect(flash_in_place.read_bytes()).files
        again = pushed(line.port, application(tmp_path, "from rom"), "--until", "from rom")
        assert again.startswith("0 files sent (") and ", 1 removed" in again
    assert "/app.mpy" not in inspect_image.inspect(flash_in_place.read_bytes()).files


def test_a_copy_that_nothing_lists_does_not_hide_romfs(flash_in_place: Path, tmp_path: Path) -> None:
    with SerialBoard(flash_in_place) as line:
        with Repl(line.port) as board:
            board.write("/app.py", b"print('by hand')")
            board.write("/app.mpy", b"stale")
        assert "by hand" in pushed(line.port, application(tmp_path, "from rom"), "--until", "by hand")
    assert "/app.mpy" not in inspect_image.inspect(flash_in_place.read_bytes()).files


def test_of_a_package_that_changed_all_is_sent_and_afterwards_nothing_of_it_stays(
    flash_in_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "firmware"
    shutil.copytree(resources.FIRMWARE, changed)
    (changed / "leaf" / "backoff.py").write_text("def delay(attempt, random):\n    return 1\n")
    source = application(tmp_path, "")
    (source / "main.py").write_text("import leaf\nprint('leaf of', leaf.__file__)\n")
    with SerialBoard(flash_in_place) as line:
        with monkeypatch.context() as patched:
            patched.setattr(resources, "FIRMWARE", changed)
            assert "leaf of leaf/" in pushed(line.port, source, "--until", "leaf of")
        assert "leaf of /rom/leaf/" in pushed(line.port, source, "--until", "leaf of")
    assert not [name for name in inspect_image.inspect(flash_in_place.read_bytes()).files if name.startswith("/leaf/")]
