# What starts an application's functions, and keeps a device's own tasks alive.
import asyncio

from .clock import milliseconds
from .modules import use

_LONGEST = const(86400000)  # milliseconds of one sleep of asyncio's; beyond 6 days its ticks overflow


async def call(function, *arguments):
    """Call a function or a coroutine function."""
    # A coroutine function's call returns a generator object on MicroPython.
    result = function(*arguments)
    return await result if hasattr(result, "send") else result


async def for_ever(name, pause, function, *arguments):
    """Run a coroutine function again and again, any number of seconds after its end; report what it raises."""
    while True:
        try:
            await function(*arguments)
        except Exception as error:
            failed(name, {"exception": error})
        left = int(pause * 1000)
        until = milliseconds() + left
        while left >= 0:
            await asyncio.sleep_ms(min(left, _LONGEST))
            left = until - milliseconds() or -1


def failed(name, context):
    """Have it reported to the cloud that a task raised. Raises nothing. As asyncio's exception handler it knows no name."""
    try:
        use("trouble", "of", name, context["exception"])
    except Exception:
        pass  # no memory left to say so
