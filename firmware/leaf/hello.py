# What a connection begins with: the handshake, CONNECT and its answer. In RAM only then.
import asyncio
import gc
import struct

from .clock import milliseconds
from .faults import Fault
from .log import log
from .modules import use
from .mqtt import MAX_PACKET
from .packets import Parser, packet, string

_CONNACK = const(0x20)
# One string, because MicroPython keeps short ones for ever.
_REFUSED = const("protocol level, client ID, server unavailable, user name or password, not authorized")


async def say(device, stream):
    """Return whether the server has our session, once it has accepted us: handshake, CONNECT, CONNACK. Raises Fault."""
    session = device.session
    subscribed, device.subscribed = device.subscribed, None
    try:
        present = await session.connect(stream, device.settings["connect_timeout"])
        device.subscribed = subscribed
    except Fault as fault:
        raise use("rebuff", "of", device, fault, stream)
    finally:
        device.tls.verify_callback = None  # it would keep x509.py in RAM
    device.history["connected"] = True
    device.look = False
    stream.chain = ()
    gc.collect()
    log("heap", "%d bytes used, %d free; %s" % (gc.mem_alloc(), gc.mem_free(), use("heap", "text")))
    log("mqtt", "connected as %s, session %s" % (session.client_id, "present" if present else "new"))
    return present


async def exchange(session, stream, timeout, clean):
    """As Session.connect()."""
    session._stream = stream
    session._parser = Parser(MAX_PACKET)
    session._ping_since = None
    # A subscription is asked for anew on every new session; what was published stays until its PUBACK.
    for identifier, flight in list(session.in_flight.items()):
        if not flight.publish():
            del session.in_flight[identifier]
    will = (session.lw_topic, session.lw_msg, session.lw_qos, session.lw_retain) if session.lw_topic else None
    try:
        await asyncio.wait_for(session.write(connect(session.client_id, session.keepalive, will, clean)), timeout)
        kind, _, body = await asyncio.wait_for(session.packet(), timeout)
    except asyncio.TimeoutError:
        raise Fault("tcp", "no answer to CONNECT in %d s" % timeout)
    if kind != _CONNACK or len(body) != 2:
        raise Fault("protocol", "the answer to CONNECT was no CONNACK")
    if body[1]:
        reasons = _REFUSED.split(", ")
        reason = reasons[body[1] - 1] if body[1] <= len(reasons) else "code %d" % body[1]
        raise Fault("connect-refused", "CONNACK refuses: " + reason)
    session._again = list(session.in_flight.values())
    session.up = True
    session._since = milliseconds()
    session._proven = session.acknowledged = False
    session.slot.set()
    return bool(body[0] & 1)


def connect(client_id, keep_alive, will=None, clean=False):
    """CONNECT (section 3.1). will is (topic, payload, qos, retain) or None."""
    flags = clean << 1
    body = string(client_id)
    if will:
        topic, payload, qos, retain = will
        flags |= 0x04 | qos << 3 | retain << 5
        body += string(topic) + string(payload)
    return packet(0x10, b"\x00\x04MQTT\x04" + struct.pack("!BH", flags, keep_alive) + body)
