# Commands from the cloud: a few at a time, each run once and answered, none able to take the device down. In RAM while one
# runs.
import asyncio
import binascii
import gc
import json

from . import clock, heap, state
from .device import check
from .log import log
from .modules import hold, release, use
from .tasks import call

_AT_ONCE = const(4)  # running commands of the application; each is a task of its own
_REPLIES = const(8)  # waiting to be sent
_KNOWN = const(32)  # commands that are remembered, so that one that comes twice runs once
_FILE = const("commands.json")


def take(device, payload):
    """Start a command; never waits, so that the reader goes on reading."""
    identifier = None
    known = device.commands
    try:
        request = json.loads(payload)
        identifier = request.get("id")
        name = request["command"]
        function, limit = (_OWN[name], 0) if name in _OWN else known[name]
    except MemoryError:  # not to be passed on: what is not acknowledged comes again on every connection
        _reply(device, identifier, "error", "the request is too large for the heap")
        return
    except (ValueError, KeyError, AttributeError, TypeError):
        _reply(device, identifier, "error", "no such command; known are " + ", ".join(sorted(list(known) + list(_OWN))))
        return
    if _ran(device, identifier):
        log("command", "%s came again, and is not run again" % name)
        return
    if limit and device.running >= _AT_ONCE:
        _reply(device, identifier, "error", "busy: %d commands are running; ask again" % _AT_ONCE)
        return
    _remember(device, identifier)
    if not limit:
        _own(device, identifier, name, function)
        return
    device.running += 1
    hold("commands")
    asyncio.create_task(_execute(device, identifier, name, function, limit, request.get("arguments")))


def _own(device, identifier, name, function):
    # At once, whatever the application's commands are at, and without a place among them.
    try:
        _reply(device, identifier, "ok", function(device))
        log("command", name + " ok")
    except Exception as error:
        _reply(device, identifier, "error", "%s: %s" % (type(error).__name__, error))


async def _execute(device, identifier, name, function, limit, arguments):
    late = []
    timer = asyncio.create_task(_limit(device, identifier, name, limit, asyncio.current_task(), late))
    try:
        value = await call(function, arguments)
        if not late:
            _reply(device, identifier, "ok", value)
            log("command", name + " ok")
    except asyncio.CancelledError:
        pass  # by the timer, which has answered
    except Exception as error:
        log("application", "command %s raised %s: %s" % (name, type(error).__name__, error))
        if not late:
            _reply(device, identifier, "error", "%s: %s" % (type(error).__name__, error))
    finally:
        timer.cancel()
        device.running -= 1
        release("commands")


async def _limit(device, identifier, name, limit, task, late):
    await asyncio.sleep(limit)
    log("application", "command %s has not ended in %d s: cancelled" % (name, limit))
    late.append(True)
    _reply(device, identifier, "error", "no end in %d s" % limit)
    task.cancel()


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


def _ran(device, identifier):
    if device.ran is None:
        try:
            device.ran = bytearray(binascii.unhexlify(state.read(_FILE, "")))
        except ValueError:
            device.ran = bytearray()
    code = _code(identifier)
    return identifier is not None and any(device.ran[at : at + 4] == code for at in range(0, len(device.ran), 4))


def _remember(device, identifier):
    if identifier is not None:
        device.ran = device.ran[-4 * (_KNOWN - 1) :] + _code(identifier)


def _code(identifier):
    return binascii.crc32(str(identifier).encode()).to_bytes(4, "big")


def keep(device):
    """Write down which commands ran: a session may deliver the last ones again after the reset."""
    if device.ran:
        state.write(_FILE, binascii.hexlify(device.ran).decode())


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
