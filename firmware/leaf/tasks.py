# What starts an application's functions, and keeps a device's own tasks alive.
from . import faults
from .clock import sleep
from .modules import use


async def call(function, *arguments):
    """Call a function or a coroutine function."""
    # A coroutine function's call returns a generator object on MicroPython.
    result = function(*arguments)
    return await result if hasattr(result, "send") else result


async def for_ever(name, pause, function, *arguments):
    """Run a coroutine function again and again, so many seconds after its end; report what it raises."""
    while True:
        try:
            await function(*arguments)
        except Exception as error:
            failed(error, name)
        await sleep(pause)


def failed(error, name="a task"):
    """Say what a task raised, and have it reported to the cloud. Raises nothing."""
    try:
        faults.keep(use("trouble", "named", error, name + ": "))
    except Exception:
        pass  # no memory left to say so
