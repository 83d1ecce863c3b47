"""The developer's loop against a virtual board that speaks the raw REPL on a pty: the Unix port, booted from an image."""

import contextlib
import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from click.testing import CliRunner
from flashkit import CONFIG
from rootlet import resources
from rootlet.board import firmware, inspection
from rootlet.board.remote import Remote
from rootlet.cli import push as cli
from rootlet.emulator.frozen import frozen_directory
from rootlet.errors import RootletError
from rootlet.processes import PARENT


@contextlib.contextmanager
def board_on_a_pty(flash: Path, carried: list[int] | None = None, lost: list[bytes] | None = None) -> Iterator[str]:
    """Boots again whenever it ends: at its prompt, Ctrl-D ends the Unix port and soft-resets a chip.

    The board's terminal is one pty and the developer's port another, with a cable between them; ``carried`` counts the
    bytes that it takes to the board and from it. It loses each of ``lost`` once, in their order, on the way to the board.
    """
    (board_end, board_tty), (port_end, port_tty) = pty.openpty(), pty.openpty()
    tty.setraw(board_tty)
    tty.setraw(port_tty)
    # A chip's UART turns Ctrl-C into an interrupt while a program runs; so does a terminal. At its prompt the Unix port
    # switches that off and reads the character itself.
    attributes = termios.tcgetattr(board_tty)
    attributes[3] |= termios.ISIG
    world = {"flash": str(flash), "frozen": str(frozen_directory()), "mac": "24:0a:c4:00:00:01", "prompt": True}
    environment = os.environ | {PARENT: str(os.getpid()), "ROOTLET_VIRTUAL_BOARD": json.dumps(world)}
    boot = resources.BOARDS / "virtual" / "boot.py"
    command = [sys.executable, "-m", "rootlet.emulator.unix_port", "-X", "heapsize=1M", str(boot)]
    stop = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def run() -> None:
        while not stop.is_set():
            termios.tcsetattr(board_tty, termios.TCSANOW, attributes)  # one that was killed leaves it raw
            running.append(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=board_tty,
                    stdout=board_tty,
                    stderr=board_tty,
                    start_new_session=True,
                    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                )
            )
            running[-1].wait()

    def carry() -> None:
        other = {board_end: port_end, port_end: board_end}
        while not stop.is_set():
            for end in select.select(list(other), [], [], 0.1)[0]:
                data = os.read(end, 4096)
                if lost and end == port_end and lost[0] in data:
                    data = data.replace(lost.pop(0), b"", 1)
                os.write(other[end], data)
                if carried is not None:
                    carried[end == board_end] += len(data)

    threads = [threading.Thread(target=target, daemon=True) for target in (run, carry)]
    for thread in threads:
        thread.start()
    try:
        yield os.ttyname(port_tty)
    finally:
        stop.set()
        for process in running:
            process.kill()
        for thread in threads:
            thread.join(5)
        for end in (board_end, board_tty, port_end, port_tty):
            os.close(end)


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
    with board_on_a_pty(flash) as port:
        first = pushed(port, application(tmp_path, "second edition"), "--until", "second edition")
        assert "1 files sent" in first.splitlines()[0] and first.splitlines()[-1] == "second edition"
        again = pushed(port, application(tmp_path, "second edition"), "--until", "second edition")
        assert "0 files sent" in again.splitlines()[0]
    assert inspection.inspect(flash.read_bytes()).identity is not None


def test_a_running_application_is_stopped_for_the_push(flash: Path, tmp_path: Path) -> None:
    source = application(tmp_path, "")
    (source / "main.py").write_text("import time\nprint('busy')\nwhile True:\n    time.sleep(1)\n")
    with board_on_a_pty(flash) as port:
        pushed(port, source, "--until", "busy")
        assert "1 files sent" in pushed(port, application(tmp_path, "third edition"), "--until", "third edition")


def test_characters_that_the_line_loses_are_sent_again(flash: Path, tmp_path: Path) -> None:
    lost = [b"\x01"]
    with board_on_a_pty(flash, lost=lost) as port, Remote(port) as board:
        assert not lost
        board.push({"/main.py": b"print('rebooted')"})
        lost.append(b"\x04")
        board.restart()
        assert not lost and "rebooted" in board.lines()


def test_a_port_without_a_prompt_is_named_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    board_end, port_end = pty.openpty()
    with pytest.raises(RootletError, match="no MicroPython prompt") as caught:
        Remote(os.ttyname(port_end))
    os.close(board_end)
    os.close(port_end)
    assert "check the port" in str(caught.value.way_out) and not capsys.readouterr().out


def test_a_boot_that_is_cut_short_leaves_no_prompt_on_the_files_of_the_host(tmp_path: Path) -> None:
    heard = b""
    with board_on_a_pty(tmp_path / "no-such-flash") as port, serial.Serial(port, timeout=0.1) as line:
        while heard.count(b"ENOENT") < 2:
            line.write(b"\r\x03\r\x01")
            heard += line.read(4096)
    assert b"raw REPL" not in heard and b">>>" not in heard


def test_files_that_are_gone_are_removed_and_state_stays(flash: Path, tmp_path: Path) -> None:
    source = application(tmp_path, "with helper")
    (source / "parts").mkdir()
    (source / "parts" / "helper.py").write_text("x = 1\n")
    with board_on_a_pty(flash) as port:
        pushed(port, source, "--until", "with helper")
        with Remote(port) as board:
            board._transport.fs_writefile("/counter.txt", b"41")
        assert "/parts/helper.mpy" in inspection.inspect(flash.read_bytes()).files
        (source / "parts" / "helper.py").unlink()
        assert "1 removed" in pushed(port, source, "--until", "with helper")
    found = inspection.inspect(flash.read_bytes()).files
    assert "/parts/helper.mpy" not in found and found["/counter.txt"] == b"41"
    assert "/roots/amazon-root-ca-1.der" in found
    assert json.loads(found[firmware.MANIFEST]) == sorted(json.loads(found[firmware.MANIFEST]))


def not_its_own(flash: Path) -> dict[str, bytes]:
    """The files in flash but for those that the device itself writes."""
    return {
        name: data for name, data in inspection.inspect(flash.read_bytes()).files.items() if not name.startswith("/state/")
    }


def test_a_configuration_is_checked_before_it_is_sent(flash: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"prot": 1}))
    before = not_its_own(flash)
    with board_on_a_pty(flash) as port:
        arguments = [str(application(tmp_path, "x")), "--config", str(tmp_path / "config.json"), "--port", port]
        result = CliRunner().invoke(cli.command, arguments)
    assert isinstance(result.exception, RootletError) and "prot is not a known key" in result.exception.what
    assert not_its_own(flash) == before


def test_a_port_without_a_board_is_told(tmp_path: Path) -> None:
    with pytest.raises(RootletError, match="no MicroPython prompt on /dev/no-such-port"):
        Remote("/dev/no-such-port")
