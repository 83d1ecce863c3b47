# The time: since boot, which never wraps, and of the day. Who sets the clock is sync.py.
import time

_UNIX_2000 = const(946684800)
_SLACK = const(5)  # seconds that two honest clocks may differ
_FADES = const(604800)  # seconds after a server's last answer that the clock is still one to date a reading by

uptime = 0  # milliseconds since boot
ticks = time.ticks_ms()  # that they were counted at

# What sync.py and trial.py know of the clock.
ahead = None  # now() - monotonic(), while somebody vouches for the clock
since = None  # monotonic(), perhaps below 0: when a server did so last; None: not looked into in this boot
again = 0  # monotonic(): when to ask the servers
answer = 0  # what one said last, in Unix seconds
doubt = 1  # 1: no certificate of a server was tried by it yet; 2: one was, and not valid; 0: one was


def now():
    """Unix seconds, whatever this port's epoch is (2000 on ESP32, 1970 on Unix)."""
    return time.time() + (_UNIX_2000 if time.gmtime(0)[0] == 2000 else 0)


def milliseconds():
    """Milliseconds since boot, of any number. The only place that reads ticks; to be called once in 6 days or more often.

    The guard (watchdog.py) does so every second.
    """
    global uptime, ticks
    before, ticks = ticks, time.ticks_ms()
    uptime += time.ticks_diff(ticks, before)
    return uptime


def monotonic():
    """Seconds since boot, unmoved by setting the clock."""
    return milliseconds() // 1000


def dated():
    """Whether the clock is one to date a reading by: set by a server not long ago, and moved by nobody else since."""
    at = monotonic()
    return ahead is not None and abs(now() - at - ahead) <= _SLACK and at - since < _FADES


def due():
    """Whether the time has come to look at the NTP servers (again), or why the clock is none to date by any more."""
    return monotonic() >= again or (ahead is not None and not dated())
