"""The process of a virtual board: MicroPython's Unix port, tied to the life of the process that started it.

``python -m rootlet.emulator.unix_port [-X heapsize=N] boot.py``
"""

import signal
import sys

from rootlet.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    # MicroPython has the signal handling of a C program: Ctrl-C and SIGTERM end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import micropython_run

    sys.exit(micropython_run.run_main(["micropython", *sys.argv[1:]]))
