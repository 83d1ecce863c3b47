# The end of a boot whose application failed: it is counted, and the board starts again.
import sys
import time

from . import faults, heap, journal
from .log import log

_PAUSE = const(5)  # seconds before the board starts again


def of_application(error):
    """Report what the application raised, write it down, and reset the board."""
    import machine

    sys.print_exception(error)
    what = "%s: %s" % (type(error).__name__, error)
    if isinstance(error, MemoryError):
        fault = heap.out_of_memory(str(error))
    elif isinstance(error, OSError) and heap.refused(faults.number(error)):  # a TLS context that does not fit, say
        fault = heap.out_of_memory(what)
    else:
        fault = faults.Fault("application", what)
    faults.report(fault)
    record = journal.kept("")
    journal.add(record, fault)
    journal.save(record)
    log("start", "again in %d s" % _PAUSE)
    time.sleep(_PAUSE)
    machine.reset()
