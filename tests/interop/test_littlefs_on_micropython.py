"""The file system of an image mounts on the real MicroPython: the Unix port's VfsLfs2, over the bytes that we built."""

import subprocess
import sys
from pathlib import Path

import pytest
from rootlet.board import filesystem

SCRIPT = Path(__file__).parents[1] / "firmware" / "scripts" / "littlefs.py"


@pytest.mark.parametrize("size", [0x200000, 0x40000])
def test_an_image_mounts_and_can_be_written_to(tmp_path: Path, size: int) -> None:
    files = {"/main.py": b"pass", "/leaf/deep/er.txt": b"deep", "/large.bin": bytes(range(256)) * 200}
    (tmp_path / "fs.bin").write_bytes(filesystem.build(files, size))
    command = [sys.executable, "-m", "micropython_unix", str(SCRIPT), str(size // 4096)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"['large.bin', 'leaf', 'main.py'] deep {size // 4096}", done.stderr
    # and the host reads what the device wrote
    found = filesystem.read((tmp_path / "fs.bin").read_bytes())
    assert found == files | {"/state.json": b"written by the device" * 1000}
