# A chip's ticks: they count to 2^30 and begin again, after 12 days in milliseconds and 18 minutes in microseconds. Here both
# are close to that when the board starts, so that each run on a virtual board crosses it.
#
# asyncio keeps the host's ticks, with a chip's limits: its task queue, in C, is made for those of its own port.
import gc
import sys

from laboratory import Over

_PERIOD = 1 << 30
_HALF = _PERIOD >> 1
_BEFORE = 5  # seconds from power-on until the ticks begin again

of_asyncio = 0  # bytes of the GC heap that asyncio takes: a chip's device pays for them too
_real = None
_milliseconds = _microseconds = 0  # of the host, at power-on


def power_on():
    """Must come after the laboratory and before whatever else uses time."""
    global of_asyncio, _real, _milliseconds, _microseconds
    import time

    _real = time
    _milliseconds, _microseconds = time.ticks_ms(), time.ticks_us()
    gc.collect()
    before = gc.mem_alloc()
    import asyncio
    from asyncio import core

    gc.collect()
    of_asyncio = gc.mem_alloc() - before
    core.ticks_add = _add_as_a_chip
    asyncio.ticks, asyncio.ticks_add, asyncio.ticks_diff = _ticks_ms, _ticks_add, _ticks_diff
    sys.modules["time"] = _Time(time)


def uptime():
    """Milliseconds since power-on. No chip has this."""
    return _real.ticks_diff(_real.ticks_ms(), _milliseconds)


def _add_as_a_chip(ticks, delta):
    _check(delta)
    return _real.ticks_add(ticks, delta)


def _check(delta):
    if not -_HALF < delta < _HALF:
        raise OverflowError("ticks interval overflow")


def _ticks_ms():
    return (_PERIOD - _BEFORE * 1000 + uptime()) & _PERIOD - 1


def _ticks_us():
    return (_PERIOD - _BEFORE * 1000000 + _real.ticks_diff(_real.ticks_us(), _microseconds)) & _PERIOD - 1


def _ticks_add(ticks, delta):
    _check(delta)
    return ticks + delta & _PERIOD - 1


def _ticks_diff(end, start):
    return (end - start + _HALF & _PERIOD - 1) - _HALF


class _Time(Over):
    ticks_ms = staticmethod(_ticks_ms)
    ticks_us = staticmethod(_ticks_us)
    ticks_add = staticmethod(_ticks_add)
    ticks_diff = staticmethod(_ticks_diff)
