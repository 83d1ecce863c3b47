# The beginning of the session's tests: a session without TLS to the port that is given.
import asyncio
import time

from leaf.faults import Fault
from leaf.mqtt import Session


class Plain:
    writes = 0

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def readinto(self, buffer):
        return await self.reader.readinto(buffer)

    async def write(self, data):
        Plain.writes += 1
        self.writer.write(data)
        await self.writer.drain()

    def close(self):
        self.writer.close()


seen = []


async def on_message(topic, payload, duplicate):
    seen.append([topic.decode(), payload.decode(), duplicate])


session = Session("thing-1", "127.0.0.1", given, 2, on_message)


async def connect():
    # Returns the task that serves the connection, and session-present.
    stream = Plain(*await asyncio.open_connection("127.0.0.1", given))
    present = await session.connect(stream, 5)
    return asyncio.create_task(session.run()), present


async def fault_of(task):
    try:
        await task
    except Fault as fault:
        session.close()
        return fault.word
