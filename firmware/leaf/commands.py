# Commands from the cloud: a few at a time, each answered, none able to take the device down. In RAM while one runs.
import asyncio
import gc
import json

from . import clock, heap
from .device import check
from .log import log
from .modules import hold, release, use
from .tasks import call

_AT_ONCE = const(4)  # running commands; each is a task of its own
_REPLIES = const(8)  # waiting to be sent


def take(device, payload):
    """Start a command; never waits, so that the reader goes on reading."""
    identifier = None
    known = device.commands
    try:
        request = json.loads(payload)
        identifier = request.get("id")
        name = request["command"]
        function = known.get(name) or _OWN[name]
    except MemoryError:  # not to be passed on: what is not acknowledged comes again on every connection
        _reply(device, identifier, "error", "the request is too large for the heap")
        return
    except (ValueError, KeyError, AttributeError, TypeError):
        _reply(device, identifier, "error", "no such command; known are " + ", ".join(sorted(list(known) + list(_OWN))))
        return
    if device.running >= _AT_ONCE:
        _reply(device, identifier, "error", "busy: %d commands are running; ask again" % _AT_ONCE)
        return
    device.running += 1
    hold("commands")
    asyncio.create_task(_execute(device, identifier, name, function, request.get("arguments")))


async def _execute(device, identifier, name, function, arguments):
    try:
        if name not in device.commands:
            arguments = device  # one of our own
        _reply(device, identifier, "ok", await call(function, arguments))
        log("command", name + " ok")
    except Exception as error:
        log("application", "command %s raised %s: %s" % (name, type(error).__name__, error))
        _reply(device, identifier, "error", "%s: %s" % (type(error).__name__, error))
    finally:
        device.running -= 1
        release("commands")


def _reply(device, identifier, status, value):
    if not check(value):
        value = use("plain", "plain", value, "reply")
    reply = {"id": identifier, "status": status, "result" if status == "ok" else "error": value}
    if len(device.replies) >= _REPLIES:
        log("command", "a reply is dropped: %d wait already" % _REPLIES)
        return
    # Serialized here: a result that is too large for it is the command's error.
    device.replies.append(json.dumps(reply))
    device.wake()


def _status(device):
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


def _restart(device):
    asyncio.create_task(device.restart())
    return "restarting"


_OWN = {"leaf.status": _status, "leaf.restart": _restart}
