# What an exception means that nobody expected.
import gc
import sys

from . import faults, heap
from .faults import Fault

_WAITING = const(8)  # at most


def named(error, where=""):
    """The Fault for an exception; a lack of memory is told apart. where: a prefix of the cause."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, MemoryError):
        return heap.out_of_memory("%sGC heap %d bytes free" % (where, gc.mem_free()))
    sys.print_exception(error)
    what = "%s%s: %s" % (where, type(error).__name__, error)
    return heap.shortage(what, lowest=heap.SPARE) or Fault("unexpected", what)


def of(name, error):
    """What a task raised is to be reported. name: the task's; or asyncio's loop, which does not say it."""
    keep(named(error, (name if isinstance(name, str) else "one of the tasks") + ": "))


def keep(fault):
    """Say it, and have it reported to the cloud. For what has no device at hand to note it."""
    faults.report(fault)
    some = faults.waiting or []
    some.append(fault)
    faults.waiting = some[-_WAITING:]
