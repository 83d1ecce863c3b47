"""``make demo``: what the README promises."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "tools" / "demo.py")]

pytestmark = pytest.mark.xdist_group("demo")  # one at a time: both write to build/demo


@pytest.fixture
def plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROOTLET_"))}


def descendants(pid: int) -> Iterator[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield int(child)
            yield from descendants(int(child))


def test_it_ends_with_a_device_that_connected_and_answered(plain: dict[str, str]) -> None:
    done = subprocess.run(DEMO, env=plain, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    for promise in (
        "WARNING: build/demo/flash.bin trusts the sandbox root",
        'demo-0001 answered: {"text": "hello from the cloud"}',
        "issued by Rootlet Sandbox Root CA  (embedded in the image",
        "Boot to first PUBACK:",
        "thing demo-0001, certificate ",
    ):
        assert promise in done.stdout
    assert "PRIVATE KEY" not in done.stdout
    demo = ROOT / "build" / "demo"
    for key in (demo / "fleet-ca" / "ca.key", demo / "devices" / "demo-0001" / "device.key", demo / "flash.bin"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in (demo / "fleet-ca" / "ca.key").read_bytes()


def test_kept_running_it_ends_with_ctrl_c_and_leaves_no_process(plain: dict[str, str]) -> None:
    with subprocess.Popen([*DEMO, "--keep"], env=plain, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout
        for line in demo.stdout:
            if "Everything keeps running" in line:
                break
        started = list(descendants(demo.pid))
        assert len(started) >= 3  # the sandbox, the emulator, the board
        os.killpg(demo.pid, signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(30) == 0
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
