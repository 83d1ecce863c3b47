# What leaves the device, the most urgent first, with QoS 1 and a window at a time.
import asyncio

from .clock import milliseconds
from .log import log

_BATCH = const(10)  # publishes in so many milliseconds: 80 a second (AWS IoT: 100 a connection)
_PACE = const(125)


class Delivery:
    """Of a Device, whose replies, services and outbox it empties."""

    def __init__(self, device):
        self._device = device

    def held(self, topic):
        """Whether nothing may be published there for now."""
        aside = self._device.session.aside
        return aside and topic in aside and aside[topic][0]

    async def run(self):
        """Replies first, then the services, then the outbox. Ends never; a record leaves the outbox on its PUBACK."""
        device = self._device
        sent, since = 0, milliseconds()
        while True:
            await device.session.room()
            if not await self._send():
                device.news.clear()
                await device.news.wait()
            sent += 1
            if sent == _BATCH:
                await asyncio.sleep_ms(max(0, _PACE - (milliseconds() - since)))
                sent, since = 0, milliseconds()

    async def _send(self):
        # True: something was sent, or there may be more.
        device = self._device
        topic = device.topics["responses"]
        if device.replies and not self.held(topic):
            reply = device.replies.pop(0)
            await self._post(topic, reply, lambda delivered: delivered or device.replies.insert(0, reply))
            return True
        for service in device.services:
            message = service.next()
            if message:
                await self._post(*message)
                return True
        record = device.outbox.take()
        if record:
            await self._deliver(record)
        return record

    async def _deliver(self, record):
        outbox = self._device.outbox

        def done(delivered):
            if delivered:
                outbox.done(record)
                log("telemetry", record.stream + " acknowledged")
            else:
                outbox.give_back(record)

        await self._post(self._device.topics["telemetry"] + record.stream, record.payload, done)

    async def _post(self, topic, payload, done):
        if not self.held(topic):
            await self._device.session.post(topic, payload, False, done)
        elif done:
            done(False)
