# The module `machine` of a virtual board.
import binascii
import sys

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
_RESET_EXIT = 3  # the emulator boots the board again

_mac = b""
_cause = PWRON_RESET


def power_on(world):
    global _mac, _cause
    _mac = binascii.unhexlify(world["mac"].replace(":", ""))
    _cause = {"soft": SOFT_RESET, "watchdog": WDT_RESET}.get(world.get("reset_cause"), PWRON_RESET)


def unique_id():
    return _mac


def reset():
    # SystemExit is what a handler may catch by mistake, a chip's reset is not; there is no other way out of here.
    sys.exit(_RESET_EXIT)


def reset_cause():
    return _cause


def freq(hz=None):
    return 160000000


class Pin:
    IN, OUT, PULL_UP, PULL_DOWN = 1, 3, 2, 1

    def __init__(self, number, mode=-1, pull=-1, value=0):
        self._value = value

    def value(self, level=None):
        if level is None:
            return self._value
        self._value = level

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self._value = 1

    def off(self):
        self._value = 0


class RTC:
    def datetime(self, when=None):
        if when is not None:
            raise OSError("the virtual board's clock is the host's, and is not for it to set")
        import time

        year, month, day, hour, minute, second, weekday, _ = time.gmtime()
        return (year, month, day, weekday, hour, minute, second, 0)


class WDT:
    """Accepts feeding. Nothing here bites: the Unix port has no timer that could reset it."""

    def __init__(self, id=0, timeout=5000):
        self.timeout = timeout

    def feed(self):
        pass
