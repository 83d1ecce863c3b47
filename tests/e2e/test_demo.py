"""``make demo``: what the README promises."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import console
from support.processes import survivors

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo(tmp_path: Path) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / "demo.py"), "--work", str(tmp_path / "demo")]


@pytest.fixture
def plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROOTLET_"))}


def descendants(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def promised() -> re.Pattern[str]:
    """What README shows of it."""
    blocks = [part for part in console.parts(ROOT / "README.md") if isinstance(part, console.Block)]
    (shown,) = [block.commands[0].shown for block in blocks if block.commands[0].text == "make demo"]
    return console.pattern(shown)


def test_it_ends_with_a_device_that_connected_and_answered(demo: list[str], plain: dict[str, str]) -> None:
    done = subprocess.run(demo, env=plain, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    made = Path(demo[-1])
    printed = done.stdout.replace(str(made), "build/demo").lstrip()
    assert promised().fullmatch(console.plain(printed)), printed
    assert "PRIVATE KEY" not in done.stdout
    for key in (made / "fleet-ca" / "ca.key", made / "devices" / "demo-0001" / "device.key", made / "flash.bin"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in (made / "fleet-ca" / "ca.key").read_bytes()


def test_kept_running_it_ends_with_ctrl_c_and_leaves_no_process(demo: list[str], plain: dict[str, str]) -> None:
    command = [*demo, "--keep"]
    with subprocess.Popen(command, env=plain, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout
        shown = []
        for line in running.stdout:
            shown.append(line)
            if "Everything keeps running" in line:
                break
        assert "Everything keeps running" in shown[-1], "".join(shown)
        started = list(descendants(running.pid))
        assert len(started) >= 3  # the sandbox, the emulator, the board
        os.killpg(running.pid, signal.SIGINT)
        running.stdout.read()
        assert running.wait(30) == 0
    assert not survivors(started)
