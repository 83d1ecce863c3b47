# What leaves the device, the most urgent first, with QoS 1 and a window at a time.
from .log import log


class Delivery:
    """Of a Device, whose replies, services and outbox it empties."""

    def __init__(self, device):
        self._device = device
        self.given_up = {}  # topic -> True: the policy denies it

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

    async def _serve(self):
        for service in self._device.services:
            message = service.next()
            if message:
                topic, payload, done = message
                if topic not in self.given_up:
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

        if topic in self.given_up:
            done(False)
        else:
            await device.session.post(topic, record.payload, False, done)
