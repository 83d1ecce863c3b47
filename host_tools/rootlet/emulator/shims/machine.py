# The module `machine` of a virtual board.
import binascii
import sys

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
_RESET_EXIT, _SLEEP_EXIT = 3, 4  # the emulator boots the board again, at once or when it has slept

# Made before the heap is full, for a chip's reset takes none of it.
_reset, _sleep = SystemExit(_RESET_EXIT), SystemExit(_SLEEP_EXIT)
_mac = b""
_cause = PWRON_RESET
_watchdog = None
_clock = None


def power_on(world):
    global _mac, _cause, _watchdog, _clock
    _mac = binascii.unhexlify(world["mac"].replace(":", ""))
    _cause = {"reset": HARD_RESET, "watchdog": WDT_RESET, "deep-sleep": DEEPSLEEP_RESET}.get(
        world.get("reset_cause"), PWRON_RESET
    )
    if world.get("watchdog"):
        _watchdog = open(world["watchdog"], "wb")
    if "clock" in world:
        _clock = _Clock(world["clock"])
        sys.modules["time"] = _clock


def unique_id():
    return _mac


def reset():
    # SystemExit is what a handler may catch by mistake, a chip's reset is not; there is no other way out of here.
    raise _reset


def deepsleep(time_ms=0):
    """Sleep for so long, or for ever. The clock goes on, as an ESP32's does; what wakes up is a new boot."""
    import time

    print("virtual board: asleep for %d ms, the clock says %d" % (time_ms, time.time()))
    raise _sleep


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


class _Clock:
    """The module `time` of a board whose clock is its own: at power-on it shows `start`, in Unix seconds."""

    def __init__(self, start):
        import time

        self._real = time
        for name in ("ticks_ms", "ticks_us", "ticks_diff", "ticks_add", "sleep", "sleep_ms", "sleep_us", "mktime"):
            setattr(self, name, getattr(time, name))
        self.offset = start - time.time()

    def time(self):
        return int(self._real.time() + self.offset)

    def gmtime(self, seconds=None):
        return self._real.gmtime(self.time() if seconds is None else seconds)

    localtime = gmtime


class RTC:
    def datetime(self, when=None):
        import time

        if when is not None:
            if _clock is None:
                raise OSError("this virtual board's clock is the host's, and is not for it to set")
            year, month, day, _, hour, minute, second, _ = when
            _clock.offset += time.mktime((year, month, day, hour, minute, second, 0, 0)) - time.time()
            return None
        year, month, day, hour, minute, second, weekday = time.gmtime()[:7]
        return (year, month, day, weekday, hour, minute, second, 0)


class WDT:
    """Bites where the emulator watches: it stops the board that does not feed it, and boots it again."""

    def __init__(self, id=0, timeout=5000):
        self._timeout = b"%d\n" % timeout
        self.feed()

    def feed(self):
        if _watchdog:
            _watchdog.write(self._timeout)
