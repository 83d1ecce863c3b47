"""Hostile bytes for everything that the device parses: ``python -m campaign.fuzz [--seed N] [--runs N] [--cases N]``.

Packets from the server, the credential partition, the configuration and its overrides, segments of the outbox, commands, and
the documents of shadow and jobs: whatever they hold, the device must answer with the error that it documents, and with no
other. Each run is one seed; a failing seed is printed with its case, and reproduces.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from rootlet import resources
from rootlet.board import secure_cert
from rootlet.emulator.frozen import frozen_directory
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity

SCRIPT = """
import asyncio, gc, json, os, sys
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
        place[:step] = data[at:at + step]
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
        self.data = data + b"\\xff" * (8192 - len(data))
    def info(self):
        return (1, 0x3F, 0, 8192, "esp_secure_cert", False)
    def readblocks(self, block, buffer, offset=0):
        at = block * 4096 + offset
        buffer[:] = self.data[at:at + len(buffer)]

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
            found = segments.read_record(file)
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
            assert any([service.take("$aws/things/t/" + topic, payload) for service in self.services])
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

def unexpected(fault):
    if fault.word == "unexpected":
        raise Exception(fault.cause)

failed = []
faults.report = lambda fault: failed.append(fault.cause) if fault.word == "unexpected" else None

def within_asyncio(coroutine):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: failed.append(repr(context["exception"])))
    failed.clear()
    asyncio.run(coroutine)
    if failed:
        raise Exception(failed[0])

TOPICS = ("shadow/update/delta", "shadow/update/rejected", "shadow/get/accepted", "shadow/get/rejected",
    "jobs/notify-next", "jobs/start-next/accepted", "jobs/start-next/rejected", "jobs/j/update/rejected")

def service_of(data):
    within_asyncio(Services().take(TOPICS[data[0] % len(TOPICS)], data[1:]))

allowed = {"packets": packets.Malformed, "credentials": Fault, "config": ValueError,
    "segment": (), "command": (), "service": ()}
judges = {"packets": packets_of, "credentials": credentials_of, "config": config_of, "segment": segment_of,
    "command": lambda data: within_asyncio(command(data)), "service": service_of}
real_print = print
print = lambda *_: None
for number, (kind, case) in enumerate(given["cases"]):
    try:
        judges[kind](bytes.fromhex(case))
    except Exception as error:
        if not isinstance(error, allowed[kind]):
            findings.append([number, kind, type(error).__name__ + ": " + str(error), case])
real_print("ANSWER" + json.dumps(findings))
"""

PACKETS = (
    b"\x20\x02\x00\x00",
    b"\x30\x0b\x00\x05topicdata",
    b"\x32\x0d\x00\x05topic\x00\x01data",
    b"\x40\x02\x00\x01",
    b"\x90\x03\x00\x01\x01",
    b"\xd0\x00",
)
CONFIG: dict[str, Any] = {
    "endpoint": "a.example",
    "wifi": [{"ssid": "x", "password": "12345678"}],
    "ntp": ["b"],
    "watchdog": 0,
}

KINDS = ("packets", "credentials", "config", "segment", "command", "service", "service")
COMMAND: dict[str, Any] = {"id": "1", "command": "x", "arguments": {"a": 1}}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {"version": 3, "timestamp": 1, "state": {"a": 1, "b": {"c": 2}}, "metadata": {}},
    {"version": 4, "state": {"desired": {"a": 5, "b": {"c": [1]}}, "reported": {"a": 0, "b": {"c": 1, "d": None}}}},
    {"code": 404, "message": "No shadow exists", "clientToken": "t"},
    {"execution": {"jobId": "j", "executionNumber": 1, "versionNumber": 1, "jobDocument": {"operation": "x", "n": 1}}},
    {"code": "RequestThrottled", "message": "later"},
)


def document(draw: random.Random, sound: Any) -> bytes:
    """A sound document with something else in some place of it, or damaged as bytes, or nested far too deeply."""
    made = json.loads(json.dumps(sound))
    for _ in range(draw.randint(0, 3)):
        place = made
        while draw.random() < 0.7:
            inner = [value for value in place.values() if isinstance(value, dict) and value]
            if not inner:
                break
            place = draw.choice(inner)
        place[draw.choice([*place, "strange"])] = strange_value(draw)
    data = json.dumps(made).encode()
    if draw.random() < 0.3:
        data = mutate(draw, data)
    if draw.random() < 0.1:
        deep = draw.choice((9, 10, 11, 5000))
        data = data.replace(b"1", draw.choice((b"[", b'{"a":')) * deep + b"1", 1)
    if draw.random() < 0.1:
        data = data.replace(b"1", draw.choice((b"1e400", b"-1e-400", b"9" * 400, b"[" + b"[]," * 5000 + b"1]")), 1)
    return data


def identity_bytes() -> bytes:
    """A sound credential partition, to be damaged."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    key = keys.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzz")])
    root = certificates.root(name, key, days=10)
    device = certificates.device(name, key.public_key(), certificates.Issuer(root, key), days=5)
    return secure_cert.from_identity(DeviceIdentity("fuzz", device, key, (root,)))


def mutate(draw: random.Random, data: bytes) -> bytes:
    """Flip, cut, insert, repeat: a few of them."""
    made = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(made) + 1)
        choice = draw.randrange(5)
        if choice == 0 and made:
            made[at % len(made)] ^= 1 << draw.randrange(8)
        elif choice == 1:
            del made[at:]
        elif choice == 2:
            made[at:at] = draw.randbytes(draw.randint(1, 8))
        elif choice == 3 and made:
            made[at % len(made)] = draw.choice((0, 0x7F, 0x80, 0xFF))
        else:
            made += made[at : at + draw.randint(1, 32)]
    return bytes(made)


def strange_value(draw: random.Random, depth: int = 0) -> Any:
    simple: list[Callable[[], Any]] = [
        lambda: None,
        lambda: draw.random() < 0.5,
        lambda: draw.randint(-(2**31), 2**31),
        lambda: draw.random() * 1e6,
        lambda: "".join(chr(draw.randint(1, 0x24F)) for _ in range(draw.randint(0, 9))),
        dict,
        list,
    ]
    if depth < 2 and draw.random() < 0.3:
        return [strange_value(draw, depth + 1) for _ in range(draw.randint(0, 4))]
    return draw.choice(simple)()


def cases(seed: int, count: int, credentials: bytes) -> list[tuple[str, str]]:
    """``count`` cases, of every kind in turn."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if kind == "packets":
            data = b"".join(mutate(draw, draw.choice(PACKETS)) for _ in range(draw.randint(1, 4)))
        elif kind == "credentials":
            data = mutate(draw, credentials)[:8192]
        elif kind == "config":
            values = dict(CONFIG)
            values[draw.choice([*CONFIG, "port", "presence", "strange"])] = strange_value(draw)
            data = json.dumps(values).encode()
        elif kind in ("command", "service"):
            data = document(draw, COMMAND if kind == "command" else draw.choice(DOCUMENTS))
            data = bytes([draw.randrange(256)]) * (kind == "service") + data
        else:
            data = draw.randbytes(draw.randint(0, 200)).replace(b"\x01", b"\xa7")
        made.append((kind, data.hex()))
    return made


def run(seed: int, count: int, credentials: bytes, scratch: str) -> list[Any]:
    """The findings of one seed: [number, kind, error, case]; empty where all is well."""
    schema = json.loads((resources.FIRMWARE / "leaf" / "config_schema.json").read_text())
    path = f"{resources.FIRMWARE}:{resources.BOARDS / 'virtual'}:{frozen_directory()}:.frozen"
    given = {"cases": cases(seed, count, credentials), "schema": schema, "scratch": scratch}
    done = subprocess.run(
        [sys.executable, "-m", "micropython_unix", "-X", "heapsize=32M", "-c", SCRIPT],
        env=os.environ | {"MICROPYPATH": path},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    answers = [line[6:] for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    if not answers:
        return [[-1, "all", (done.stdout + done.stderr)[-500:], ""]]
    findings: list[Any] = json.loads(answers[-1])
    return findings


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--cases", type=int, default=2000, help="a run")
    arguments = parser.parse_args()
    credentials, failed = identity_bytes(), 0
    with tempfile.NamedTemporaryFile() as scratch:
        for seed in range(arguments.seed, arguments.seed + arguments.runs):
            for finding in run(seed, arguments.cases, credentials, scratch.name):
                failed += 1
                print(f"seed {seed}:", *finding, flush=True)
    print(f"{arguments.runs} runs of {arguments.cases} cases, {failed} findings")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
