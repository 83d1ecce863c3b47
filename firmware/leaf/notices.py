# Messages that are out of the ordinary. In RAM only while there is one.
import json

from .faults import Fault
from .log import log
from .mqtt import MAX_PACKET


def skipped(device, topic, size):
    """A message was too large. Acknowledged all the same, or the server would deliver it on every connection."""
    why = "" if size > MAX_PACKET else ": the heap has no room to spare"
    device.note(Fault("message-too-large", "%d bytes to %s are read away%s" % (size, topic, why)))


def presence(device, payload):
    """AWS IoT's lifecycle event of our last connection. It comes with the session, so it is there after the reconnect."""
    try:
        reason = json.loads(payload).get("disconnectReason", "")
    except (ValueError, AttributeError):
        return
    log("presence", "the last connection ended: " + reason)
    if reason.startswith("DUPLICATE_CLIENT"):
        device.note(Fault("taken-over", "another client connected as %s: AWS IoT says so" % device.session.client_id))
