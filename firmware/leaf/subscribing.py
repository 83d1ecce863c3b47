# SUBSCRIBE, and a PUBLISH that somebody waits for. In RAM only then.
import asyncio
import struct

from .faults import Fault
from .mqtt import Flight
from .packets import packet, string
from .packets import publish as encode

_FILTERS = const(8)  # in one SUBSCRIBE (AWS IoT: 8)
_REFUSED = const(0x80)  # in place of a filter's QoS (section 3.9.3)


async def subscribe(session, filters):
    """As Session.subscribe()."""
    refused = []
    for at in range(0, len(filters), _FILTERS):
        some = filters[at : at + _FILTERS]
        identifier = session.next_identifier()
        event = asyncio.Event()
        codes = []
        count = len(some)

        def done(body, codes=codes, event=event, count=count):
            if len(body) != count or [code for code in body if code > 2 and code != _REFUSED]:
                raise Fault("protocol", "SUBACK with the codes %s for %d filters" % (list(body), count))
            codes.extend(body)
            event.set()

        names = ", ".join([topic for topic, _ in some])
        await session.deliver(identifier, Flight(_subscribe(identifier, some), names, done))
        await event.wait()  # which the session bounds, as it does every acknowledgement
        refused.extend(topic for (topic, _), code in zip(some, codes) if code == _REFUSED)  # noqa: B905
    if refused:
        raise Fault("policy-denied", "SUBACK refuses the subscription to " + ", ".join(refused))


def _subscribe(identifier, filters):
    """SUBSCRIBE (section 3.8); filters is a list of (filter, qos)."""
    body = struct.pack("!H", identifier)
    for topic, qos in filters:
        body += string(topic) + bytes((qos,))
    return packet(0x82, body)


async def publish(session, topic, msg, retain, qos):
    """As Session.publish()."""
    if not qos:
        if not session.up:
            raise Fault("connection-lost", "not connected")
        await session.write(encode(topic, msg, 0, retain, 0), "PUBLISH to " + topic)
        return
    await session.room(False)
    event = asyncio.Event()
    await session.post(topic, msg, retain, lambda delivered: event.set())
    await event.wait()
