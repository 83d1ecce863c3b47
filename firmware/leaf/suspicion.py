# Topics that the server hangs up on: set aside, tried again later and later, and never a reason to drop anything. In RAM
# while there are any.
#
# The session has them as a dict, topic -> [seconds of connection until it is tried again, what they were at first].
from .log import log
from .modules import hold, release

_FIRST = const(10)  # seconds; by then the other topics have shown whether it was they
_LATER = const(4)  # times as long after each further time
_LONGEST = const(3600)


def set_aside(device, topic):
    """Publish nothing there for a while; what was on its way there goes back to where it came from."""
    session = device.session
    if session.aside is None:
        hold("suspicion")
        session.aside = {}
    aside = session.aside
    wait = min(_LONGEST, aside[topic][1] * _LATER) if topic in aside else _FIRST
    aside[topic] = [wait, wait]
    log("outbox", "%s is set aside for %d s of connection: the server hangs up on it" % (topic, wait))
    device.outbox.aside[_stream(device, topic)] = True
    for identifier, flight in list(session.in_flight.items()):
        if flight.where == topic and flight.publish():
            del session.in_flight[identifier]
            if flight.done:
                flight.done(False)
    session.slot.set()


def tick(device):
    """To be called every second of a connection."""
    aside = device.session.aside
    for topic in aside:
        if aside[topic][0]:
            aside[topic][0] -= 1
            if not aside[topic][0]:
                _try_again(device, topic)
    if not aside:
        device.session.aside = None
        release("suspicion")


def dismiss(device):
    """It was not the topics."""
    aside = device.session.aside or {}
    for topic in list(aside):
        del aside[topic]
        _try_again(device, topic)


def _try_again(device, topic):
    # The suspicion stays until a PUBACK comes.
    device.outbox.try_again(_stream(device, topic))
    device.wake()


def _stream(device, topic):
    # Of a topic that is none of telemetry's it is a name that no stream has.
    prefix = device.topics["telemetry"]
    return topic[len(prefix) :] if topic.startswith(prefix) else topic
