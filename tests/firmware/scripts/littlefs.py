# What a chip's esp32.Partition is to VfsLfs2, over the file fs.bin of so many blocks; then list, read, write and read again.
import os
import sys

import vfs

BLOCK = 4096


class Flash:
    def __init__(self, path, blocks):
        self.f = open(path, "r+b")
        self.blocks = blocks

    def readblocks(self, n, buf, off=0):
        self.f.seek(n * BLOCK + off)
        self.f.readinto(buf)

    def writeblocks(self, n, buf, off=None):
        if off is None:
            self.erase(n)
            off = 0
        self.f.seek(n * BLOCK + off)
        self.f.write(buf)

    def erase(self, n):
        self.f.seek(n * BLOCK)
        self.f.write(b"\xff" * BLOCK)

    def ioctl(self, op, arg):
        if op == 3:
            self.f.flush()
        if op == 4:
            return self.blocks
        if op == 5:
            return BLOCK
        if op == 6:
            self.erase(arg)
            return 0
        return None


flash = Flash("fs.bin", int(sys.argv[1]))
vfs.mount(vfs.VfsLfs2(flash), "/d")
print(sorted(e[0] for e in os.ilistdir("/d")), open("/d/leaf/deep/er.txt").read(), os.statvfs("/d")[2])
with open("/d/state.json", "w") as f:
    f.write("written by the device" * 1000)
vfs.umount("/d")
flash.f.close()
