# The module `esp32` of a virtual board: partitions in a flash file. Read and write as on a chip, 4096 bytes a block.
import struct

import c_heap
import uctypes
import vfs

_BLOCK = 4096
_TABLE = 0x8000
_CHUNK = 256
_ERASED = b"\xff" * _CHUNK
_image = None
_flash_size = 0
_entries = []
_cut = None  # flash operations until power fails, counted down; None: never
_dead = False
_operations = 0
_bad = set()  # blocks of the file system that cannot be read


class PowerCut(BaseException):
    """The board's power is gone; nothing reaches the flash any more."""


def power_on(path, cut=None, bad=()):
    """Open the flash file and read its partition table. cut: power fails within that write or erase, counted from 1.

    bad: blocks of the file system that cannot be read until they are erased.
    """
    global _image, _flash_size, _cut, _dead, _bad
    _bad = set(bad)
    _entries.clear()
    _cut, _dead = cut, False
    _image = open(path, "r+b")
    _flash_size = _image.seek(0, 2)
    _image.seek(_TABLE)
    while True:
        entry = _image.read(32)
        if entry[:2] != b"\xaa\x50":
            break
        _, kind, subtype, offset, size, label, flags = struct.unpack("<HBBII16sI", entry)
        _entries.append((kind, subtype, offset, size, label.rstrip(b"\0").decode(), bool(flags & 1)))
    if not _entries:
        raise SystemExit("virtual board: no partition table at 0x8000 of " + path)


def vfs_partition():
    """The file system: its own entry, or all behind the last partition, as MicroPython 1.26 and later define it."""
    for entry in _entries:
        if entry[4] == "vfs":
            return Partition(entry)
    end = max(entry[2] + entry[3] for entry in _entries)
    return Partition((1, 0x81, end, _flash_size - end, "vfs", False))


def romfs(address):
    """The file system in the partition `romfs`, or None. address is where the host has mapped the flash file.

    As on a chip (esp_partition_mmap), what lies there takes nothing of the heap.
    """
    for kind, _, offset, size, label, _ in _entries:
        if kind == 1 and label == "romfs" and address and offset + size <= _flash_size:
            try:
                return vfs.VfsRom(uctypes.bytearray_at(address + offset, size))
            except OSError:
                pass
    return None


class Partition:
    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, entry, block_size=_BLOCK):
        self._entry = entry
        self._block = block_size

    @classmethod
    def find(cls, type=TYPE_APP, subtype=0xFF, label=None, block_size=_BLOCK):
        return [
            cls(entry, block_size)
            for entry in _entries
            if entry[0] == type and subtype in (0xFF, entry[1]) and label in (None, entry[4])
        ]

    def info(self):
        return self._entry

    def readblocks(self, block, buffer, offset=0):
        if block in _bad and self._entry[4] == "vfs":
            return -5  # EIO
        self._seek(block, offset, len(buffer))
        _image.readinto(buffer)
        return None

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        at = self._seek(block, offset, len(buffer))
        # NOR flash: programming only clears bits. A write without an erase would leave their AND.
        old = _image.read(len(buffer))
        _image.seek(at)
        new = bytes(a & b for a, b in zip(old, buffer))
        if _power_fails():
            half = len(new) // 2
            _image.write(new[:half])
            _die()
        _image.write(new)
        _image.flush()

    def ioctl(self, operation, argument):
        if operation == 3:
            _image.flush()
        elif operation == 4:
            return self._entry[3] // self._block
        elif operation == 5:
            return self._block
        elif operation == 6:
            at = self._seek(argument, 0, self._block)
            if self._entry[4] == "vfs":
                _bad.discard(argument)
            if _power_fails():
                # Erasing drives every cell at once; cut short, it leaves bits in any state.
                old = _image.read(_CHUNK)
                _image.seek(at)
                _image.write(bytes(byte | 0xA5 for byte in old))
                _die()
            for _ in range(self._block // _CHUNK):  # in pieces: a chip's erase takes nothing of the heap
                _image.write(_ERASED)
            return 0
        return None

    def _seek(self, block, offset, length):
        start = block * self._block + offset
        if start < 0 or start + length > self._entry[3]:
            raise OSError(22)  # EINVAL: outside the partition
        return _image.seek(self._entry[2] + start)


def _power_fails():
    global _cut, _operations
    if _dead:
        raise PowerCut()
    _operations += 1
    if _cut is None:
        return False
    _cut -= 1
    return _cut == 0


def _die():
    global _dead
    _image.flush()
    _dead = True
    raise PowerCut()


def flash_operations():
    """Writes and erases since power-on. No chip counts them."""
    return _operations


def operations_left():
    """What is left of power_on's cut; None where there is none."""
    return _cut


def idf_heap_info(capabilities):
    """What the account of the C heap has left (c_heap.py)."""
    return c_heap.info()


HEAP_DATA = 4
