# What an exception means that nobody expected.
import gc
import sys

from . import heap
from .faults import Fault


def named(error, where=""):
    """The Fault for an exception; a lack of memory is told apart. where: a prefix of the cause."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, MemoryError):
        return heap.out_of_memory("%sGC heap %d bytes free" % (where, gc.mem_free()))
    sys.print_exception(error)
    what = "%s%s: %s" % (where, type(error).__name__, error)
    return heap.shortage(what, lowest=heap.SPARE) or Fault("unexpected", what)
