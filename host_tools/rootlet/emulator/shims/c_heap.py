# The C heap of a virtual board: an account of what an ESP32's would have left. The Unix port's own C heap is the host's, so
# nothing here allocates anything; what must not fit on the chip is made to fail as it fails there.
#
# It starts at what is free after a fresh boot and pays for: each doubling of the GC heap, Wi-Fi, the TLS context, a TLS
# socket with its TCP socket, and the highest of a handshake. The figures are in board.toml, which says where they are from.
import errno
import gc
import json
import os
import sys

import ticks

# Bytecode takes as much on a 32-bit chip as here, objects half. At ten moments of three applications, one of them with the
# firmware that was first measured on a chip, this came within 2.5 KB of what a 32-bit MicroPython kept alive (make heap).
_OBJECTS = 2  # bytes here for one on a chip
_LARGEST_OF_100 = 97  # of what is free, in one piece: 6.7 of 6.9 K on 1.26.1

_MODULES = 100
_SMALLEST = 2048  # bytes; MicroPython adds no less to its heap

_figures = None
_taken = {}  # what -> bytes
_lowest = 0
highest = 0  # bytes alive in the GC heap, as a chip would count them, whenever it was looked at
_code = {}  # module -> bytes of its .mpy in RAM
_shims = 0  # bytes of the GC heap that are ours and not the device's: on a chip these modules are in flash


def power_on(boards):
    """Open the account; last of all in boot.py, for the GC heap's state at this moment is taken for a fresh boot's.

    boards: board -> release of MicroPython -> figures (rootlet/emulator/c_heap.py); None for no account.
    """
    global _figures, _lowest, _shims
    if not boards:
        return
    _figures = _choose(boards)
    if not _figures:
        return  # a board with PSRAM
    _lowest = _figures["boot"]
    for number in range(_MODULES):  # the dict keeps its room, which is then none of the device's
        _code[number] = 0
    for number in range(_MODULES):
        del _code[number]
    gc.collect()
    _shims = gc.mem_alloc() - ticks.of_asyncio


def _choose(boards):
    # What was not seen (another board, another release, no MicroPython in the image) is under "": the worst that was.
    try:
        with open("/build.json") as stream:
            build = json.load(stream)
    except (OSError, ValueError):
        build = {}
    releases = boards.get(build.get("board"), boards[""])
    return releases.get(build.get("micropython", "").split(" ")[0].lstrip("v"), releases[""])


def live():
    """What the device keeps alive in the GC heap, as a chip would count it. Garbage is collected first."""
    global highest
    gc.collect()
    code = sum(_in_ram(name) for name in sys.modules)
    found = code + max(0, gc.mem_alloc() - _shims - code) // _OBJECTS
    highest = max(highest, found)
    return found


def _in_ram(name):
    # A module in ROMFS runs where it lies; one that is in no file system is the emulator's, or frozen.
    if name not in _code:
        _code[name] = 0
        path = name.replace(".", "/")
        for directory in sys.path:
            for end in (".mpy", "/__init__.mpy"):
                try:
                    size = os.stat(directory + "/" + path + end)[6]
                except OSError:
                    continue
                if not directory.startswith("/rom"):
                    _code[name] = size
                return _code[name]
    return _code[name]


def info():
    """One region: (total, free, largest free block, lowest free ever). Without an account it is the host's, and endless."""
    if not _figures:
        return [(1 << 20,) * 4]
    grow()
    return [(_figures["boot"], free(), _largest(), _lowest)]


def free():
    return _figures["boot"] - sum(_taken.values())


def _largest():
    return free() * _LARGEST_OF_100 // 100


def take(what):
    """Pay for a thing of board.toml, once. False where the chip's malloc would refuse: then nothing is taken."""
    global _lowest
    if not _figures or what in _taken:
        return True
    if _figures[what] > free():
        return False
    _taken[what] = _figures[what]
    _lowest = min(_lowest, free())
    return True


def give_back(what):
    _taken.pop(what, None)


def touch(what):
    """Pay for a thing and get it back at once. False where it does not fit: then the heap was emptied meanwhile."""
    global _lowest
    if not _figures:
        return True
    left = free() - _figures[what]
    _lowest = min(_lowest, max(0, left))
    return left >= 0


def grow():
    """Pay for the GC heap. MicroPython adds as much again as it has, or what is left in one piece; what is in use stays."""
    global _lowest
    if not _figures:
        return
    need = live()
    while need > _figures["gc_area"] + _taken.get("gc", 0):
        size = min(_figures["gc_area"] + _taken.get("gc", 0), _largest())
        if size < _SMALLEST:
            raise MemoryError("virtual board: the C heap has nothing left for the GC heap")
        _taken["gc"] = _taken.get("gc", 0) + size
        _lowest = min(_lowest, free())


def need(what):
    """Grow, then pay for a thing. Raises OSError where it does not fit."""
    grow()
    if not (take("imports") and take(what)):
        raise OSError(errno.ENOMEM, "virtual board: no memory for " + what)
