# How a device ends: nothing undelivered is lost, and the server hears that it goes.
import asyncio

from . import boots, journal
from .faults import Fault
from .log import log


async def end(device, proven=True):
    """Write down what is undelivered, say offline and DISCONNECT. proven: this boot did not fail."""
    device.outbox.flush()
    for service in device.services:
        service.leave()
    journal.save(device.record_of_faults)
    if proven:
        boots.proven()
    if device.session.up:
        try:
            status = device.session.publish(device.topics["status"], b'{"online": false}', True, 1)
            await asyncio.wait_for(status, 5)
        except (Fault, asyncio.TimeoutError):
            pass
    await device.session.disconnect()


async def disconnect(session):
    """As Session.disconnect()."""
    try:
        await asyncio.wait_for(session.write(b"\xe0\x00"), 2)
    except (Fault, OSError, asyncio.TimeoutError):
        pass
    session.close()


async def restart(device, fault=None):
    """The same, a second later: the reply to the command that asks for it goes first.

    fault: out-of-memory time and again. A boot that never connected then counts as failed: safe mode may help.
    """
    import machine

    await asyncio.sleep(1)
    proven = not fault or device.history["connected"]
    if fault:
        log("device", "%s time and again: starting over" % fault.word)
    await end(device, proven)
    if not proven:
        boots.failed()  # even where a minute of health has proved it
    machine.reset()
