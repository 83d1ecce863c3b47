# Ends of a connection that look alike on the wire, told apart by timing and by what was sent, and how sure that is.
from .clock import milliseconds
from .faults import Fault

_IDLE_ENDS = const(2)  # closed in a row with nothing sent just before: chance is not so regular
_EVICTED_WITHIN = const(120000)  # milliseconds after CONNACK
_JUST = const(3000)  # milliseconds; a server that dislikes a packet hangs up at once
_DENIALS = const(3)  # in a row, after which a topic is given up


def history():
    """What is to be kept of the connections of a boot. "denied": what the server hung up on, and how often in a row."""
    return {"connected": False, "idle_ends": 0, "denied": "", "denials": 0}


def refused(seen, endpoint, client_id, certificate):
    """The server hung up instead of answering CONNECT. certificate: the id that the cloud knows it by."""
    before = ""
    if seen["connected"]:
        before = " (it was accepted earlier in this boot, so most likely it was deactivated or its policy changed)"
    return Fault(
        "device-certificate-refused",
        "%s hung up instead of answering CONNECT: certificate %s is not ACTIVE there, or its policy does not "
        "allow iot:Connect as %s or its last will%s" % (endpoint, certificate, client_id, before),
    )


def overdue(flight, seconds):
    """The Fault for a packet that was resent for so long without its acknowledgement."""
    return Fault("protocol", "no acknowledgement in %d s of %s" % (seconds, flight))


def explain(seen, fault, session, certificate):
    """A better name for the end of a connection, as far as the evidence goes."""
    what = _just_sent(session)
    if fault.word != "connection-lost" or fault.link:
        seen["idle_ends"] = 0
        return fault
    if what:
        seen["idle_ends"] = 0
        seen["denials"] = seen["denials"] + 1 if seen["denied"] == what else 1
        seen["denied"] = what
        return Fault(
            "policy-denied",
            "the server hung up right after %s: most likely the policy of certificate %s does not allow it"
            % (what, certificate),
        )
    seen["idle_ends"] = seen["idle_ends"] + 1 if session.age() < _EVICTED_WITHIN else 0
    if seen["idle_ends"] < _IDLE_ENDS:
        return fault
    return Fault(
        "taken-over",
        "the server closed %d connections in a row, this one after %d s, with nothing sent to dislike: likely another "
        "client connects as %s" % (seen["idle_ends"], session.age() // 1000, session.client_id),
    )


def _just_sent(session):
    # What the server may have hung up on: of what was sent a moment ago, what waits longest for its answer.
    now = milliseconds()
    for flight in session.in_flight.values():
        if flight.sent is not None and now - flight.sent < _JUST:
            return str(flight)
    return session.last if now - session.sent < _JUST else ""


def hopeless(seen):
    """The topic that the server hung up on time and again, or None. Asked after explain()."""
    kind, _, topic = seen["denied"].partition(" to ")
    if seen["denials"] < _DENIALS or kind != "PUBLISH":
        return None
    seen["denials"] = 0
    return topic
