# What the services of AWS IoT that a device may use have in common: topics under the thing's name, documents in JSON.
# An application that imports none of them has none of them in RAM.
from ..modules import use


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

    def wake(self):
        """next() has something."""
        self._device.wake()

    def filters(self):
        return [self.prefix + answer for answer in self.answers]

    def take(self, topic, payload):
        """A message; return whether its topic is one of this service's. Never waits."""
        if not topic.startswith(self.prefix) or not self.knows(topic[len(self.prefix) :]):
            return False
        document = use("services.documents", "parse", topic, payload)
        if document is not None:
            self.on(topic[len(self.prefix) :], document)
        return True

    def knows(self, answer):
        return answer in self.answers

    def on(self, *nothing):
        """A document came: on(answer, document), the topic ends with answer. What a service leaves out does nothing.

        connected(): a new connection; the subscriptions are there. tick(): a second of a connection has gone by.
        next(): what to send now, as (topic, payload, done), done(delivered) or None as for Session.post; or None.
        leave(): the device is about to restart or to stop: write down what must not be lost.
        """

    connected = tick = next = leave = on
