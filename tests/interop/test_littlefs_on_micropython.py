"""The file system of an image mounts on the real MicroPython: the Unix port's VfsLfs2, over the bytes that we built."""

import subprocess
import sys
from pathlib import Path

import pytest
from rootlet.board import filesystem

# What a chip's esp32.Partition is to VfsLfs2, over a file; then list, read, write and read again.
SCRIPT = """
import vfs, os
class Flash:
    def __init__(self, path):
        self.f = open(path, "r+b")
    def readblocks(self, n, buf, off=0):
        self.f.seek(n * 4096 + off); self.f.readinto(buf)
    def writeblocks(self, n, buf, off=None):
        if off is None:
            self.erase(n); off = 0
        self.f.seek(n * 4096 + off); self.f.write(buf)
    def erase(self, n):
        self.f.seek(n * 4096); self.f.write(b"\\xff" * 4096)
    def ioctl(self, op, arg):
        if op == 3: self.f.flush()
        if op == 4: return {blocks}
        if op == 5: return 4096
        if op == 6: self.erase(arg); return 0
flash = Flash("fs.bin")
vfs.mount(vfs.VfsLfs2(flash), "/d")
print(sorted(e[0] for e in os.ilistdir("/d")), open("/d/leaf/deep/er.txt").read(), os.statvfs("/d")[2])
with open("/d/state.json", "w") as f:
    f.write("written by the device" * 1000)
vfs.umount("/d")
flash.f.close()
"""


@pytest.mark.parametrize("size", [0x200000, 0x40000])
def test_an_image_mounts_and_can_be_written_to(tmp_path: Path, size: int) -> None:
    files = {"/main.py": b"pass", "/leaf/deep/er.txt": b"deep", "/large.bin": bytes(range(256)) * 200}
    (tmp_path / "fs.bin").write_bytes(filesystem.build(files, size))
    (tmp_path / "mount.py").write_text(SCRIPT.replace("{blocks}", str(size // 4096)))
    command = [sys.executable, "-m", "micropython_unix", "mount.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"['large.bin', 'leaf', 'main.py'] deep {size // 4096}", done.stderr
    # and the host reads what the device wrote
    found = filesystem.read((tmp_path / "fs.bin").read_bytes())
    assert found == files | {"/state.json": b"written by the device" * 1000}
