# What a connection's end, or a message that is out of the ordinary, is evidence of. In RAM only for that moment.
import json

from . import evidence, heap, trouble
from .faults import Fault
from .log import log
from .modules import use
from .mqtt import MAX_PACKET


def of(device, error):
    """Note why an attempt or a connection ended; whether the connection had proved itself before."""
    session = device.session
    fault = trouble.named(error)
    proven = False
    if session.up and fault is error:
        fault = evidence.explain(device.history, fault, session, device.certificate)
        proven = session.proven()
    if (fault.link or fault.word in ("dns", "tcp")) and not device.linked():
        fault = Fault("wifi-lost", "the access point is gone (%s)" % fault.cause)
    device.note(fault)
    if fault.word in ("tls-expired", "tls-not-yet-valid"):
        use("trial", "failed")
    topic = evidence.hopeless(device.history)
    if topic:
        _give_up(device, topic)
    return proven


def _give_up(device, topic):
    # The server hangs up on what is published there.
    log("outbox", "%s is given up until the next boot: the server hangs up on it" % topic)
    device.delivery.given_up[topic] = True
    session = device.session
    for identifier, flight in list(session.in_flight.items()):
        if flight.where == topic and flight.publish():
            del session.in_flight[identifier]
            if flight.done:
                flight.done(False)
    session.slot.set()


def of_hello(device, fault, stream):
    """A better name for what ended the handshake, or kept the server from accepting us."""
    if fault.word != "connect-refused":  # any other verdict may be a lack of memory that Mbed TLS mistook
        short = heap.shortage("%s (%s)" % (fault.word, fault.cause), lowest=heap.SPARE)
        if short:
            return short
    endpoint = device.settings["endpoint"]
    if fault.word == "tcp" and not stream.chain:
        return Fault("tls-no-tls", "%s did not answer the TLS handshake" % endpoint)
    if fault.word == "connection-lost" and not fault.link:
        return evidence.refused(device.history, endpoint, device.session.client_id, device.certificate)
    return fault


def note_skipped(device, topic, size):
    """A message was too large. Acknowledged all the same, or the server would deliver it on every connection."""
    why = "" if size > MAX_PACKET else ": the heap has no room to spare"
    device.note(Fault("message-too-large", "%d bytes to %s are read away%s" % (size, topic, why)))


def note_presence(device, payload):
    """AWS IoT's lifecycle event of our last connection. It comes with the session, so it is there after the reconnect."""
    try:
        reason = json.loads(payload).get("disconnectReason", "")
    except (ValueError, AttributeError):
        return
    log("presence", "the last connection ended: " + reason)
    if reason.startswith("DUPLICATE_CLIENT"):
        device.note(Fault("taken-over", "another client connected as %s: AWS IoT says so" % device.session.client_id))
