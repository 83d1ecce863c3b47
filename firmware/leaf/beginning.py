# What a new connection begins with: subscriptions, the status, and the report of what went wrong before.
import json

from . import journal
from .faults import Fault
from .log import log


async def of(device, present):
    """present: the server has our session."""
    try:
        await _subscribe(device, present)
        log("mqtt", "subscribed to " + device.topics["requests"])
    except Fault as fault:
        device.note(fault)
    try:
        await device.session.publish(device.topics["status"], b'{"online": true}', True, 1)
        for service in device.services:
            service.connected()
        await _report(device)
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


async def _report(device):
    # What happened while the cloud could not see it. Survives, in flight, the end of this connection.
    record, topic = device.record_of_faults, device.topics["faults"]
    if record["reporting"] or topic in device.delivery.given_up:
        return
    report = journal.report(record, device.outbox.dropped)
    if not report:
        return
    record["reporting"] = True
    device.outbox.dropped = {}

    def done(delivered):
        record["reporting"] = False
        if delivered:
            journal.reported(record, report["counts"])

    await device.session.room()
    await device.session.post(topic, json.dumps(report), False, done)
