# Commands from the cloud: a few at a time, each answered, none able to take the device down.
import asyncio
import gc
import json

from . import clock, faults, heap
from .faults import Fault
from .log import log

AT_ONCE = 4  # running commands; each is a task of its own
_REPLIES = 8  # waiting to be sent


class Commands:
    """known maps a name to its function. news() is called when there is a reply to send."""

    def __init__(self, news):
        self.known = {}
        self.replies = []
        self._running = 0
        self._news = news

    def take(self, payload):
        """Start a command; never waits, so that the reader goes on reading."""
        identifier = None
        try:
            request = json.loads(payload)
            identifier = request.get("id")
            name = request["command"]
            function = self.known[name]
        except MemoryError:  # not to be passed on: what is not acknowledged comes again on every connection
            self._reply(identifier, "error", "the request is too large for the heap")
            return
        except (ValueError, KeyError, AttributeError, TypeError):
            self._reply(identifier, "error", "no such command; known are " + ", ".join(sorted(self.known)))
            return
        if self._running >= AT_ONCE:
            self._reply(identifier, "error", "busy: %d commands are running; ask again" % AT_ONCE)
            return
        self._running += 1
        asyncio.create_task(self._execute(identifier, name, function, request.get("arguments")))

    async def _execute(self, identifier, name, function, arguments):
        try:
            self._reply(identifier, "ok", await call(function, arguments))
            log("command", name + " ok")
        except Exception as error:
            log("application", "command %s raised %s: %s" % (name, type(error).__name__, error))
            self._reply(identifier, "error", "%s: %s" % (type(error).__name__, error))
        finally:
            self._running -= 1

    def _reply(self, identifier, status, value):
        reply = {"id": identifier, "status": status, "result" if status == "ok" else "error": value}
        if len(self.replies) >= _REPLIES:
            log("command", "a reply is dropped: %d wait already" % _REPLIES)
            return
        # Serialized here: a result that JSON cannot hold is the command's error.
        self.replies.append(json.dumps(reply))
        self._news()


def status(device):
    """What the built-in command leaf.status answers."""
    gc.collect()
    flash, damaged = device.outbox.in_flash()
    return {
        "safe_mode": device.safe,
        "uptime_s": clock.monotonic(),
        "heap_free": gc.mem_free(),
        "c_heap": heap.c_heap(),
        "outbox_flash_bytes": flash,
        "outbox_damaged": damaged,
    }


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
        except MemoryError:
            faults.report(Fault("out-of-memory", "in %s, %d bytes free" % (name, gc.mem_free())))
        except Exception as error:
            faults.report(Fault("unexpected", "%s: %s: %s" % (name, type(error).__name__, error)))
        await asyncio.sleep(1)
