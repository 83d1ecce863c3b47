"""The process of a virtual board: MicroPython's Unix port, tied to the life of the process that started it.

``python -m rootlet.emulator.unix_port [-X heapsize=N] boot.py``
"""

import ctypes
import json
import mmap
import os
import signal
import sys

from rootlet.processes import die_with_parent

WORLD = "ROOTLET_VIRTUAL_BOARD"


def _map_flash() -> mmap.mmap | None:
    """Map the board's flash file and tell the board where: a chip, too, has its flash in its address space.

    Read only. Nothing where the file cannot be mapped: the board then says itself what is wrong with it.
    """
    world = json.loads(os.environ.get(WORLD, "{}"))
    try:
        with open(world["flash"], "rb") as flash:  # noqa: PTH123 - pathlib takes longer to import than all of this
            mapped = mmap.mmap(flash.fileno(), 0, access=mmap.ACCESS_COPY)
    except (KeyError, OSError, ValueError):
        return None
    world["flash_address"] = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    os.environ[WORLD] = json.dumps(world)
    return mapped


if __name__ == "__main__":
    die_with_parent()
    # MicroPython has the signal handling of a C program: Ctrl-C and SIGTERM end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import micropython_run

    flash = _map_flash()
    sys.exit(micropython_run.run_main(["micropython", *sys.argv[1:]]))
