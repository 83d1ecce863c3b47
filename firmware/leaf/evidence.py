# Ends of a connection that look alike on the wire, told apart by timing and by what was sent, and how sure that is.
from .faults import Fault
from .mqtt import PUBLISH_TO

IDLE_ENDS = 2  # closed in a row with nothing sent just before: chance is not so regular
EVICTED_WITHIN = 120000  # milliseconds after CONNACK
DENIALS = 3  # in a row, after which a topic is given up


class Evidence:
    """What the last connections showed. certificate is the id that the cloud knows the device's certificate by."""

    def __init__(self, certificate):
        self._certificate = certificate
        self._idle_ends = 0
        self._denied = ""  # what the server hung up on
        self._denials = 0  # in a row
        self._connected = False

    def connected(self):
        self._connected = True

    def refused(self, endpoint, client_id):
        """The server hung up instead of answering CONNECT."""
        before = ""
        if self._connected:
            before = " (it was accepted earlier in this boot, so most likely it was deactivated or its policy changed)"
        return Fault(
            "device-certificate-refused",
            "%s hung up instead of answering CONNECT: certificate %s is not ACTIVE there, or its policy does not "
            "allow iot:Connect as %s or its last will%s" % (endpoint, self._certificate, client_id, before),
        )

    def explain(self, fault, session):
        """A better name for the end of a connection, as far as the evidence goes."""
        what = session.just_sent()
        if fault.word != "connection-lost" or fault.link:
            self._idle_ends = 0
            return fault
        if what:
            self._idle_ends = 0
            self._denials = self._denials + 1 if self._denied == what else 1
            self._denied = what
            return Fault(
                "policy-denied",
                "the server hung up right after %s: most likely the policy of certificate %s does not allow it"
                % (what, self._certificate),
            )
        self._idle_ends = self._idle_ends + 1 if session.age() < EVICTED_WITHIN else 0
        if self._idle_ends < IDLE_ENDS:
            return fault
        return Fault(
            "taken-over",
            "the server closed %d connections in a row, this one after %d s, with nothing sent to dislike: likely another "
            "client connects as %s" % (self._idle_ends, session.age() // 1000, session.client_id),
        )

    def hopeless(self):
        """The topic that the server hung up on time and again, or None. Asked after explain()."""
        if self._denials < DENIALS or not self._denied.startswith(PUBLISH_TO):
            return None
        self._denials = 0
        return self._denied[len(PUBLISH_TO) :]

    def delivered(self, topic):
        """A PUBACK: that topic is allowed."""
        if self._denied == PUBLISH_TO + topic:
            self._denials = 0
