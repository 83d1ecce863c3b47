# What starts an application's functions, and keeps a device's own tasks alive.
import asyncio

from . import faults
from .modules import use


async def call(function, *arguments):
    """Call a function or a coroutine function."""
    # A coroutine function's call returns a generator object on MicroPython.
    result = function(*arguments)
    return await result if hasattr(result, "send") else result


async def for_ever(name, function):
    """Run a coroutine function that should never end; report and start it again when it raises."""
    while True:
        try:
            await function()
        except Exception as error:
            faults.report(use("trouble", "named", error, name + ": "))
        await asyncio.sleep(1)
