# The time: since boot, which never wraps, and of the day. Who sets the clock is sync.py.
import time

_UNIX_2000 = const(946684800)
_SLACK = const(5)  # seconds that two honest clocks may differ
_FADES = const(604800)  # seconds after a server's last answer that the clock is still one to date a reading by
_LONGEST = const(86400000)  # milliseconds of one sleep of asyncio's; beyond 6 days its ticks overflow


class Here:
    milliseconds = 0  # since boot
    ticks = time.ticks_ms()  # that they were counted at
    ahead = None  # now() - monotonic(), as long as the clock is one that somebody vouches for
    answered = None  # monotonic(), perhaps below 0: when a server did so last; None: not looked into in this boot
    due = 0  # monotonic(): when to ask the servers again
    doubt = 1  # 1: no certificate of a server was tried by it yet; 2: one was, and not valid; 0: one was
    answer = 0  # what the NTP server said last, in Unix seconds


def now():
    """Unix seconds, whatever this port's epoch is (2000 on ESP32, 1970 on Unix)."""
    return time.time() + (_UNIX_2000 if time.gmtime(0)[0] == 2000 else 0)


def milliseconds():
    """Milliseconds since boot, of any number. The only place that reads ticks; to be called once in 6 days or more often.

    The guard (watchdog.py) does so every second.
    """
    ticks = time.ticks_ms()
    Here.milliseconds += time.ticks_diff(ticks, Here.ticks)
    Here.ticks = ticks
    return Here.milliseconds


def monotonic():
    """Seconds since boot, unmoved by setting the clock."""
    return milliseconds() // 1000


async def sleep(seconds):
    """Sleep for any time; asyncio.sleep() ends at 6 days."""
    import asyncio

    left = int(seconds * 1000)
    until = milliseconds() + left
    while True:
        await asyncio.sleep_ms(min(left, _LONGEST))
        left = until - milliseconds()
        if left <= 0:
            break


def dated():
    """Whether the clock is one to date a reading by: set by a server not long ago, and moved by nobody else since."""
    return Here.ahead is not None and not moved() and monotonic() - Here.answered < _FADES


def moved():
    """Whether something else has set the clock: the application."""
    return Here.ahead is not None and abs(now() - monotonic() - Here.ahead) > _SLACK


def due():
    """Whether the time has come to look at the NTP servers (again)."""
    return monotonic() >= Here.due or moved()
