# What leaves the device, the most urgent first, with QoS 1 and a window at a time.
import json

from .log import log


class Delivery:
    """telemetry is the prefix of the topics of what the outbox holds; replies and services are lists of the device's."""

    def __init__(self, session, outbox, journal, evidence, news, telemetry, responses, replies, services):
        self._session = session
        self._outbox = outbox
        self._journal = journal
        self._evidence = evidence
        self._news = news
        self._telemetry = telemetry
        self._responses = responses
        self._replies = replies
        self._services = services
        self._given_up = {}  # topic -> True: the policy denies it
        self._telling = False

    async def run(self):
        """Replies first, then the services, then the outbox. Ends never; a record leaves the outbox on its PUBACK."""
        session, outbox = self._session, self._outbox
        while True:
            await session.room()
            if self._replies:
                await session.post(self._responses, self._replies.pop(0))
                continue
            if await self._serve():
                continue
            record = outbox.take()
            if record:
                await self._deliver(record)
            else:
                self._news.clear()
                await self._news.wait()

    def give_up(self, topic):
        """The server hangs up on what is published there."""
        log("outbox", "%s is given up until the next boot: the server hangs up on it" % topic)
        self._given_up[topic] = True
        self._session.forget(topic)

    async def tell(self):
        """Report what happened while the cloud could not see it. Survives, in flight, the end of this connection."""
        topic = self._telemetry + "faults"
        dropped = self._outbox.dropped
        report = None if self._telling or topic in self._given_up else self._journal.report(dropped)
        if not report:
            return
        self._telling = True
        self._outbox.dropped = {}

        def done(delivered):
            self._telling = False
            if delivered:
                self._journal.told(report)

        await self._session.room()
        await self._session.post(topic, json.dumps(report), False, done)

    async def _serve(self):
        for service in self._services:
            message = service.next()
            if message:
                topic, payload, done = message
                if topic not in self._given_up:
                    await self._session.post(topic, payload, False, done)
                elif done:
                    done(False)
                return True
        return False

    async def _deliver(self, record):
        topic = self._telemetry + record.stream

        def done(delivered):
            self._outbox.done(record)
            if delivered:
                self._evidence.delivered(topic)
                log("telemetry", record.stream + " acknowledged")
            else:
                dropped = self._outbox.dropped
                dropped[record.stream] = dropped.get(record.stream, 0) + 1

        if topic in self._given_up:
            done(False)
        else:
            await self._session.post(topic, record.payload, False, done)
