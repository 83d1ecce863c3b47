# The time: since boot, and of the day. Who sets the clock is sync.py.
import time

_UNIX_2000 = const(946684800)


class _Here:
    milliseconds = 0  # since boot
    ticks = time.ticks_ms()  # that they were counted at
    dated = False  # the clock is one to date a reading by
    synchronized = None  # monotonic()
    due = 0  # monotonic(): when to ask the servers again


def now():
    """Unix seconds, whatever this port's epoch is (2000 on ESP32, 1970 on Unix)."""
    return time.time() + (_UNIX_2000 if time.gmtime(0)[0] == 2000 else 0)


def monotonic():
    """Seconds since boot, unmoved by setting the clock. To be called more often than ticks_ms wraps (6 days)."""
    ticks = time.ticks_ms()
    _Here.milliseconds += time.ticks_diff(ticks, _Here.ticks)
    _Here.ticks = ticks
    return _Here.milliseconds // 1000


def dated():
    """Whether the clock is one to date a reading by: set by a server, or kept through the last reset."""
    return _Here.dated


def due():
    """Whether the time has come to look at the NTP servers (again)."""
    return monotonic() >= _Here.due
