# What main.py runs: the application, or, when it keeps failing, a device without it that can still be reached.
import sys
import time

from . import faults, guard, heap
from .log import log

PAUSE = 5  # seconds before the board starts again after an application that failed


def run(application):
    """Import the application, which makes a leaf.Device and runs it. Returns when that does."""
    import machine

    failed = guard.count_boot()
    try:
        if failed >= guard.SAFE_AFTER:
            log("safe-mode", "%d boots in a row failed: starting without the application" % failed)
            from .device import Device

            Device(safe=True).run()
        else:
            __import__(application)
        guard.proven()  # it came to its end, and so did this boot
        return
    except KeyboardInterrupt:
        guard.proven()  # somebody sits at the console: the soft reset that follows is no failure
        raise
    except MemoryError as error:
        sys.print_exception(error)
        fault = heap.out_of_memory(str(error))
    except Exception as error:
        sys.print_exception(error)
        what = "%s: %s" % (type(error).__name__, error)
        memory = isinstance(error, OSError) and heap.refused(faults.number(error))  # a TLS context that does not fit, say
        fault = heap.out_of_memory(what) if memory else faults.Fault("application", what)
    faults.report(fault)
    from .journal import Journal

    journal = Journal("")
    journal.add(fault)
    journal.save()
    log("start", "again in %d s" % PAUSE)
    time.sleep(PAUSE)
    machine.reset()
