# What the services of AWS IoT that a device may use have in common: topics under the thing's name, documents in JSON.
# An application that imports none of them has none of them in RAM.
import json

from ..log import log

_DEEPEST = const(10)  # levels of nesting; AWS IoT: a shadow has 8 below "state" and its half. More would cost the C stack.


class Service:
    """Made before device.run(). The device calls bind() once, connected() on every connection, and take() with what came;

    it sends what next() gives it, and calls tick() every second of a connection.
    """

    answers: tuple = ()  # what to subscribe to, below the service's own topics

    def __init__(self, device, path):
        self._path = path
        self._device = device
        device.services.append(self)

    def bind(self, thing):
        """Begin: the thing's name is known, asyncio runs."""
        self.prefix = "$aws/things/" + thing + "/" + self._path + "/"

    def filters(self):
        return [self.prefix + answer for answer in self.answers]

    def take(self, topic, payload):
        """A message; return whether its topic is one of this service's. Never waits."""
        if not topic.startswith(self.prefix) or not self.knows(topic[len(self.prefix) :]):
            return False
        document = parse(payload)
        if document is None:
            log("services", "what came to %s is ignored: no JSON object of at most %d levels that fits" % (topic, _DEEPEST))
        else:
            self.on(topic[len(self.prefix) :], document)
        return True

    def knows(self, answer):
        return answer in self.answers

    def on(self, answer, document):
        """A document came on the topic that ends with answer."""

    def connected(self):
        """A new connection; the subscriptions are there."""

    def next(self):
        """What to send now: (topic, payload, done), done(delivered) or None as for Session.post; or None."""

    def tick(self):
        """A second of a connection has gone by."""

    def leave(self):
        """The device is about to restart or to stop: write down what must not be lost."""


def parse(payload):
    """The JSON object in a payload (bytes); None where there is none, or one nested so deeply that it would be a danger.

    Or one that the heap cannot hold: to fail would leave it unacknowledged, and the server would deliver it for ever.
    """
    depth = 0
    text = False
    escaped = False
    for byte in payload:
        if text:
            text = escaped or byte != 34
            escaped = byte == 92 and not escaped
        elif byte == 34:
            text = True
        elif byte in b"[{":
            depth += 1
            if depth > _DEEPEST:
                return None
        elif byte in b"]}":
            depth -= 1
    try:
        document = json.loads(payload)
    except (ValueError, MemoryError):
        return None
    return document if isinstance(document, dict) else None


def part(document, name):
    """A part of a document that must be an object; {} where it is something else."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}
