# Ends of a connection that look alike on the wire, told apart by timing and by what was sent, and how sure that is.
from .clock import milliseconds
from .faults import Fault

_IDLE_ENDS = const(2)  # closed in a row with nothing sent just before: chance is not so regular
_EVICTED_WITHIN = const(120000)  # milliseconds after CONNACK
_JUST = const(3000)  # milliseconds; a server that dislikes a packet hangs up at once


def history():
    """What is to be kept of the connections of a boot.

    "doubtful": what the last connection ended after, where nothing else of it was acknowledged; None: of two such in a row,
    which were not the same, so that it is the link.
    """
    return {"connected": False, "idle_ends": 0, "doubtful": ""}


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
    fault = Fault("protocol", "no acknowledgement in %d s of %s" % (seconds, flight))
    fault.topic = flight.where if flight.publish() else None
    return fault


def explain(seen, fault, session, certificate):
    """A better name for the end of a connection, as far as the evidence goes."""
    what = _just_sent(session)
    if fault.word != "connection-lost" or fault.link:
        seen["idle_ends"] = 0
        return fault
    if what:
        seen["idle_ends"] = 0
        return _hung_up(seen, fault, what, session.acknowledged, certificate)
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


def _hung_up(seen, fault, what, works, certificate):
    # A link that dies looks the same. But it dies after this and after that, and a server that dislikes one packet
    # acknowledges others on the same connection (works).
    before = seen["doubtful"]
    seen["doubtful"] = "" if works else what
    if not works and before and before != what:
        seen["doubtful"] = None
        return fault
    cause = "the server hung up right after %s: most likely the policy of certificate %s does not allow it"
    denied = Fault("policy-denied", cause % (what, certificate))
    kind, _, topic = what.partition(" to ")
    if kind == "PUBLISH" and (works or before == what):
        denied.topic = topic
    return denied
