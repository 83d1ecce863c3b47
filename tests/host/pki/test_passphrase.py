"""A passphrase comes from a file, a descriptor, the environment or a prompt; and is asked for twice when it is new."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rootlet.pki.authority import Authority
from support.pki_kit import PASSPHRASE, Rootlet


def test_from_a_files_first_line(rootlet: Rootlet, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PASSPHRASE}\r\nnot this\n")
    command = ("device", "issue", "sensor-1", "--ca", authority.directory, "--output", tmp_path)
    assert rootlet(*command, "--passphrase-file", tmp_path / "secret").code == 0


def test_from_a_descriptor(rootlet: Rootlet, authority: Authority, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode())
    os.close(writer)
    command = ("device", "issue", "sensor-1", "--ca", authority.directory, "--output", tmp_path)
    assert rootlet(*command, "--passphrase-fd", str(reader)).code == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--passphrase-file", "/nonexistent"), "not found"),
        (("--passphrase-file", "/dev/null"), "no passphrase in"),
        (("--passphrase-fd", "987"), "Bad file descriptor"),
        (("--passphrase-fd", "987", "--passphrase-file", "/dev/null"), "together"),
    ],
)
def test_a_source_without_a_passphrase_is_named(
    rootlet: Rootlet, authority: Authority, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    refused = rootlet("device", "issue", "sensor-1", "--ca", authority.directory, "--output", tmp_path, *options)
    assert refused.code == 2 and problem in refused.err


def test_never_from_an_argument(rootlet: Rootlet, authority: Authority, tmp_path: Path) -> None:
    refused = rootlet("device", "issue", "s", "--ca", authority.directory, "--output", tmp_path, "--passphrase", PASSPHRASE)
    assert refused.code == 2


def test_a_pins_variable_is_no_passphrase_and_without_a_terminal_nobody_is_asked(
    authority: Authority, tmp_path: Path
) -> None:
    """A token locks after a few wrong PINs: one is never tried for the other."""
    command = [sys.executable, "-m", "rootlet.cli.main", "device", "issue", "sensor-1", "--ca", str(authority.directory)]
    environment = os.environ | {"ROOTLET_CA_PIN": PASSPHRASE}
    # A session of its own has no terminal.
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, input=b"", capture_output=True, start_new_session=True, check=False
    )
    assert ran.returncode == 2
    assert b"no passphrase of" in ran.stderr and b"ROOTLET_CA_PASSPHRASE" in ran.stderr
    assert b"Warning" not in ran.stderr


def test_a_short_one_is_refused(rootlet: Rootlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", "sesame")
    refused = rootlet("ca", "create", tmp_path / "ca")
    assert refused.code == 2 and "too short" in refused.err
    assert not (tmp_path / "ca").exists()


@pytest.mark.parametrize(("again", "code"), [(PASSPHRASE, 0), ("something else", None)])
def test_a_new_one_is_asked_for_twice_and_not_echoed(again: str, code: int | None, tmp_path: Path) -> None:
    """On a real terminal: click asks again and again until both agree."""
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "rootlet.cli.main", "ca", "create", str(tmp_path / "ca")]
    child = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, preexec_fn=_take_terminal
    )
    os.close(terminal)
    shown = _until(controller, b": ")
    os.write(controller, f"{PASSPHRASE}\n".encode())
    shown += _until(controller, b": ")
    os.write(controller, f"{again}\n".encode())
    if code is None:
        shown += _until(controller, b"do not match")
        child.terminate()
        child.wait(10)
        assert not (tmp_path / "ca").exists()
    else:
        assert child.wait(30) == code
        assert Authority.load(tmp_path / "ca", PASSPHRASE.encode())
    os.close(controller)
    assert PASSPHRASE.encode() not in shown


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _until(controller: int, text: bytes) -> bytes:
    shown = b""
    while not shown.rstrip(b"\r\n ").endswith(text.strip()):
        shown += os.read(controller, 1)
    return shown
