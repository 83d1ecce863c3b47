# What a new connection begins with: subscriptions and the status. The report of what went wrong before follows (report.py).
from .faults import Fault
from .log import log


async def of(device, present):
    """present: the server has our session."""
    try:
        await _subscribe(device, present)
        log("mqtt", "subscribed to " + device.topics["requests"])
    except Fault as fault:
        if fault.word != "policy-denied":
            raise  # no subscription is known to be there: device.on_second() ends the connection
        device.note(fault)
    try:
        if not device.delivery.held(device.topics["status"]):
            await device.session.publish(device.topics["status"], b'{"online": true}', True, 1)
        for service in device.services:
            service.connected()
    except Fault as fault:
        device.note(fault)


async def _subscribe(device, present):
    # A present session need not have our subscriptions: a CONNECT may have begun it whose CONNACK we never saw. So only a
    # SUBACK of this boot counts, and only while each CONNECT since then was answered.
    topics = [device.topics["requests"]] + ([device.presence] if device.presence else []) + list(device.handlers)
    for service in device.services:
        topics.extend(service.filters())
    topics.sort()
    if not present or device.subscribed != topics:
        device.subscribed = None
        await device.session.subscribe([(topic, 1) for topic in topics])
        device.subscribed = topics
