# What leaves the device, the most urgent first, with QoS 1 and a window at a time.
import json

from .log import log
from .modules import use


class Delivery:
    """Of a Device, whose replies, services and outbox it empties."""

    def __init__(self, device):
        self._device = device
        self._given_up = {}  # topic -> True: the policy denies it
        self._reporting = False

    async def run(self):
        """Replies first, then the services, then the outbox. Ends never; a record leaves the outbox on its PUBACK."""
        device = self._device
        session = device.session
        while True:
            await session.room()
            if device.replies:
                await session.post(device.topics["responses"], device.replies.pop(0))
                continue
            if await self._serve():
                continue
            record = device.outbox.take()
            if record:
                await self._deliver(record)
            else:
                device.news.clear()
                await device.news.wait()

    def give_up(self, topic):
        """The server hangs up on what is published there."""
        log("outbox", "%s is given up until the next boot: the server hangs up on it" % topic)
        self._given_up[topic] = True
        self._device.session.forget(topic)

    async def report(self):
        """Report what happened while the cloud could not see it. Survives, in flight, the end of this connection."""
        device = self._device
        topic = device.topics["faults"]
        if self._reporting or topic in self._given_up:
            return
        report = use("journal", "report", device.record_of_faults, device.outbox.dropped)
        if not report:
            return
        self._reporting = True
        device.outbox.dropped = {}
        counts = report["counts"]

        def done(delivered):
            self._reporting = False
            if delivered:
                use("journal", "reported", device.record_of_faults, counts)

        await device.session.room()
        await device.session.post(topic, json.dumps(report), False, done)

    async def _serve(self):
        for service in self._device.services:
            message = service.next()
            if message:
                topic, payload, done = message
                if topic not in self._given_up:
                    await self._device.session.post(topic, payload, False, done)
                elif done:
                    done(False)
                return True
        return False

    async def _deliver(self, record):
        device = self._device
        topic = device.topics["telemetry"] + record.stream

        def done(delivered):
            device.outbox.done(record)
            if delivered:
                device.allowed(topic)
                log("telemetry", record.stream + " acknowledged")
            else:
                device.outbox.lost(record.stream, 1)

        if topic in self._given_up:
            done(False)
        else:
            await device.session.post(topic, record.payload, False, done)
