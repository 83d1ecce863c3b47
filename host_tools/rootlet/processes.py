"""Processes that Rootlet starts end with it, kill -9 included."""

import ctypes
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading

PARENT = "ROOTLET_PARENT"
"""The environment variable that names the process id of the starter."""

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent() -> None:
    """Have the kernel kill this process when its starter, the process in ``ROOTLET_PARENT``, dies. Linux only.

    To the kernel the starter is the thread that started us: it must live as long as we should.
    """
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != parent:
        sys.exit("the starting process is gone")


def end_with_parent() -> None:
    """In a process that ``multiprocessing`` started: end as soon as the starter is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
