"""The process of a chip emulator, tied to the life of the process that started it.

``python -m rootlet.emulator.chip_process PROGRAM [ARGUMENT]...``
"""

import os
import sys

from rootlet.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    try:
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - no shell, and the kernel's promise outlives an exec
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
