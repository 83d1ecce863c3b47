# How a device ends: nothing undelivered is lost, and the server hears that it goes.
import asyncio

from . import boots, clock, journal
from .faults import Fault
from .log import log
from .modules import use


async def end(device):
    """Write down what is undelivered, say offline and DISCONNECT."""
    device.outbox.flush()
    for service in device.services:
        service.leave()
    journal.save(device.record_of_faults)
    use("commands", "keep", device)
    boots.proven()
    if device.session.up:
        if clock.doubt:
            use("trial", "done")  # it may end sooner than it would have come to that
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


async def restart(device):
    """The same, a second later: the reply to the command that asks for it goes first."""
    import machine

    await asyncio.sleep(1)
    try:
        await asyncio.wait_for(end(device), 30)
    finally:
        machine.reset()  # whatever raises, or hangs


def start_over(device):
    """Write down what is undelivered, and reset.

    A boot that never connected counts as failed, so that safe mode comes, which leaves the application out.
    """
    import machine

    log("device", "short of memory again and again: starting over")
    steps = [device.outbox.flush, lambda: journal.save(device.record_of_faults)]
    steps.extend([service.leave for service in device.services])
    steps.append(boots.proven if device.history["connected"] else boots.failed)
    for step in steps:
        try:
            step()
        except Exception as error:  # for want of memory, say: it must not cost the rest
            log("device", "not written down: %s" % error)
    machine.reset()
