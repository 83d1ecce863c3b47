# Feeds hostile bytes to what the device parses, and prints each error that is not documented. Input: JSON on stdin.
import asyncio
import json
import sys

from leaf import commands, config, credentials, faults, packets, segments, state
from leaf.faults import Fault
from leaf.services.jobs import Jobs
from leaf.services.shadow import Shadow

given = json.loads(sys.stdin.read())
state.DIRECTORY = given["scratch"] + ".state"
findings = []


def packets_of(data):
    parser = packets.Parser(16384)
    at = 0
    while at < len(data):
        place = parser.place()
        step = min(1 + data[at] % 7, len(place), len(data) - at)
        place[:step] = data[at : at + step]
        at += step
        found = parser.filled(step)
        if found:
            kind, flags, body = found
            if kind == 0x30:
                packets.parse_publish(flags, body)
            elif kind in (0x40, 0x90):
                packets.identifier_of(body)


class Flash:
    def __init__(self, data):
        self.data = data + b"\xff" * (8192 - len(data))

    def info(self):
        return (1, 0x3F, 0, 8192, "esp_secure_cert", False)

    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = self.data[at : at + len(buffer)]


def credentials_of(data):
    parts = credentials._read_entries(Flash(data))
    if 1 in parts and 2 in parts:
        credentials.Credentials(parts[1], parts[2])


def config_of(data):
    values = json.loads(data)
    problem = config.check(values, given["schema"])
    assert problem is None or isinstance(problem, str)


def segment_of(data):
    with open(given["scratch"], "wb") as file:
        file.write(data)
    with open(given["scratch"], "rb") as file:
        total = 0
        while True:
            found = segments.read_record(file, len(data) - total)
            if not found:
                break
            total += found[2]
    assert total == len(data)


class Services:
    def __init__(self):
        self.services = []
        self.shadow = Shadow(self)
        self.jobs = Jobs(self)
        self.shadow.setting("a", 0)(lambda value: None)
        self.shadow.setting("b", {"c": 1})(lambda value: value["c"])
        self.jobs.operation("x")(lambda job: job.document)

    def wake(self):
        pass

    async def take(self, topic, payload):
        for service in self.services:
            service.bind("t")
            service.connected()
        for _ in range(2):
            taken = [service.take("$aws/things/t/" + topic, payload) for service in self.services]
            assert any(taken)
            for _ in range(5):
                await asyncio.sleep(0)
            for service in self.services:
                service.tick()
                message = service.next()
                while message:
                    json.dumps(message[1].decode() if isinstance(message[1], bytes) else message[1])
                    if message[2]:
                        message[2](True)
                    message = service.next()
        for service in self.services:
            service.leave()


class Commanded:
    running = 0
    safe = False

    def __init__(self):
        self.commands = {"x": lambda arguments: arguments}
        self.replies = []

    def wake(self):
        pass


async def command(payload):
    commands.take(Commanded(), payload)
    for _ in range(5):
        await asyncio.sleep(0)


failed = []


def report(fault):
    if fault.word == "unexpected":
        failed.append(fault.cause)


faults.report = report


def within_asyncio(coroutine):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: failed.append(repr(context["exception"])))
    failed.clear()
    asyncio.run(coroutine)
    if failed:
        raise Exception(failed[0])


TOPICS = (
    "shadow/update/delta",
    "shadow/update/rejected",
    "shadow/get/accepted",
    "shadow/get/rejected",
    "jobs/notify-next",
    "jobs/start-next/accepted",
    "jobs/start-next/rejected",
    "jobs/j/update/rejected",
)


def service_of(data):
    within_asyncio(Services().take(TOPICS[data[0] % len(TOPICS)], data[1:]))


allowed = {
    "packets": (packets.Malformed,),
    "credentials": (Fault,),
    "config": (ValueError,),
    "segment": (),
    "command": (),
    "service": (),
}
judges = {
    "packets": packets_of,
    "credentials": credentials_of,
    "config": config_of,
    "segment": segment_of,
    "command": lambda data: within_asyncio(command(data)),
    "service": service_of,
}
for number, (kind, case) in enumerate(given["cases"]):
    try:
        judges[kind](bytes.fromhex(case))
    except Exception as error:
        if not isinstance(error, allowed[kind]):
            findings.append([number, kind, type(error).__name__ + ": " + str(error), case])
print("ANSWER" + json.dumps(findings))
