"""The process of a virtual board: MicroPython's Unix port, tied to the life of the process that started it.

``python -m rootlet.emulator.unix_port [-X heapsize=N] boot.py``
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


PARENT = "ROOTLET_PARENT"
"""The environment variable that names the process id of the starter."""


def die_with_parent() -> None:
    """Have the kernel end this process when its starter dies, kill -9 included. Linux only, as the wheel is."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != os.environ[PARENT]:
        sys.exit("the starting process is gone")


if __name__ == "__main__":
    die_with_parent()
    # MicroPython has the signal handling of a C program: Ctrl-C and SIGTERM end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import micropython_run

    sys.exit(micropython_run.run_main(["micropython", *sys.argv[1:]]))
