# What main.py runs: the application, or, when it keeps failing, a device without it that can still be reached.
from .log import log
from .modules import use

_SAFE_AFTER = const(4)  # failed boots in a row


def run(application):
    """Import the application, which makes a leaf.Device and runs it. Returns when that does."""
    try:
        failed = use("boots", "count_boot")
        if failed >= _SAFE_AFTER:
            log("safe-mode", "%d boots in a row failed: starting without the application" % failed)
            from .device import Device

            Device(safe=True).run()
        else:
            __import__(application)
        use("boots", "proven")  # it came to its end, and so did this boot
    except KeyboardInterrupt:
        use("boots", "proven")  # somebody sits at the console: the soft reset that follows is no failure
        raise
    except Exception as error:
        use("failure", "of_application", error)
