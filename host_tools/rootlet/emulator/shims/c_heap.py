# The C heap of a virtual board: an account of what an ESP32's would have left. The Unix port's own C heap is the host's, so
# nothing here allocates anything; what must not fit on the chip is made to fail as it fails there.
#
# It starts at what is free after a fresh boot and pays for: each doubling of the GC heap, Wi-Fi, the TLS context, a TLS
# socket with its TCP socket, and the highest of a handshake. The figures are in board.toml, which says where they are from.
import errno
import gc
import json

# Objects of the 64-bit Unix port are larger than a 32-bit chip's. At the highest of a first connection the applications
# sample and qualification kept 44,704 and 50,992 bytes alive on a 32-bit MicroPython (make heap), 75,712 and 86,303 here.
_OF_1000 = 600
_LARGEST_OF_100 = 97  # of what is free, in one piece: 6.7 of 6.9 K on 1.26.1

_SMALLEST = 2048  # bytes; MicroPython adds no less to its heap

_figures = None
_taken = {}  # what -> bytes
_lowest = 0
highest = 0  # bytes alive in the GC heap, as a chip would count them, whenever it was looked at
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
    gc.collect()
    _shims = gc.mem_alloc()


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
    found = max(0, gc.mem_alloc() - _shims) * _OF_1000 // 1000
    highest = max(highest, found)
    return found


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
