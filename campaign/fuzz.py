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
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board import secure_cert
from rootlet.emulator.frozen import frozen_directory
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity

SCRIPT = (Path(__file__).parents[0] / "scripts" / "hostile_bytes.py").read_text()

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
    path = f"{resources.FIRMWARE}:{resources.SHIMS}:{frozen_directory()}:.frozen"
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
