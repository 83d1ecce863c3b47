"""The session beside its peers, on one broker in one run: ``.venv/bin/python bench/session.py [MESSAGES]``.

A real mosquitto, MicroPython's Unix port, and a proxy that counts TLS records or adds round-trip time. ``leaf`` and
``umqtt.simple`` run over mutual TLS; ``micropython-mqtt-async`` has no TLS and is spared its cost. MESSAGES (100,000) is the
length of the run that looks for growth of the heap. Host time is a PC's, not a chip's: read the ratios.
"""

# ruff: noqa: E402, I001
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rich.console import Console
from rich.table import Table

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from support.chains import HOST
from support.mosquitto import BINARY, Mosquitto, Watcher
from support.proxy import FaultyProxy

from rootlet import resources
from rootlet.emulator.frozen import Source, directory_of, frozen_directory
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject

MQTT_ASYNC = Source(
    "micropython-mqtt-async", "0.7b4", "c10a8a34064adad629f71f7ea559f7070169ce13c180265509f68f58618eec2b", "mqtt_async.py"
)
CLIENTS = ("leaf", "umqtt.simple", "mqtt-async")
SCRIPT = Path(__file__).with_name("session_client.py")
MESSAGES = int(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else 100_000
ROUND_TRIP = 0.1  # seconds


class Testbed:
    """The broker, and what a client needs to reach it."""

    def __init__(self, directory: Path) -> None:
        authority = Authority.create(directory / "ca", b"bench" * 5, name="Bench CA", subject=Subject(organization="Bench"))
        self.broker = Mosquitto(directory, authority)
        identity = authority.issue("bench")
        root = x509.load_pem_x509_certificate(self.broker.root.read_bytes())
        (directory / "root.der").write_bytes(root.public_bytes(Encoding.DER))
        (directory / "device.der").write_bytes(identity.certificate_der())
        key = directory / "key.der"
        key.touch(0o600)
        key.write_bytes(identity.key_der())
        self._files = {"root": "root.der", "certificate": "device.der", "key": "key.der"}
        self._directory = directory

    def port(self, client: str) -> int:
        return self.broker.plain_port if client == "mqtt-async" else self.broker.port

    def start(self, client: str, what: str, port: int, heapsize: str = "256K", **more: Any) -> "subprocess.Popen[str]":
        files = {name: str(self._directory / file) for name, file in self._files.items()}
        given = {"client": client, "what": what, "host": HOST, "port": port, **files, **more}
        path = [resources.FIRMWARE, resources.SHIMS, frozen_directory(), directory_of(MQTT_ASYNC)]
        return subprocess.Popen(
            [sys.executable, "-m", "micropython_unix", "-X", f"heapsize={heapsize}", str(SCRIPT)],
            env=os.environ | {"MICROPYPATH": ":".join(map(str, path)) + ":.frozen", "GIVEN": json.dumps(given)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self, client: str, what: str, port: int, heapsize: str = "256K", timeout: float = 900, **more: Any
    ) -> dict[str, Any] | None:
        """The client's answer; None where it failed, or gave none in ``timeout`` seconds."""
        process = self.start(client, what, port, heapsize, **more)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None
        answers = [line[6:] for line in output.splitlines() if line.startswith("ANSWER")]
        return json.loads(answers[-1]) if answers else None


def wait_for_line(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        if line.strip() == word:
            return
        seen.append(line)
    raise SystemExit("the client ended early:\n" + "".join(seen))


def wire(testbed: Testbed, client: str, count: int = 50) -> list[tuple[float, float]]:
    """(writes or records, bytes) a publish towards the broker, for QoS 0 and QoS 1."""
    found = []
    with FaultyProxy(testbed.port(client)) as proxy:
        process = testbed.start(client, "wire", proxy.port, count=count)
        wait_for_line(process, "READY")
        for _ in (0, 1):
            records, octets = proxy.records_up, proxy.bytes_up
            wait_for_line(process, "PART")
            found.append(((proxy.records_up - records) / count, (proxy.bytes_up - octets) / count))
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait()
    return found


def rate(testbed: Testbed, client: str, delay: float, count: int) -> float:
    """QoS 1 messages a second, through the proxy with that delay each way."""
    say(f"rate of {client}")
    with FaultyProxy(testbed.port(client)) as proxy:
        proxy.delay = delay
        found = testbed.run(client, "rate", proxy.port, count=count)
    return float(found["rate"]) if found else 0.0


def back(testbed: Testbed, client: str) -> float:
    """Seconds from the accepted connection after an outage of 3 s to the first message at the broker."""
    say(f"return of {client}")
    with FaultyProxy(testbed.port(client)) as proxy, Watcher(testbed.broker.plain_port) as watcher:
        process = testbed.start(client, "return", proxy.port)
        wait_for_line(process, "READY")
        proxy.down = True
        time.sleep(3)
        seen = len(watcher.messages)
        proxy.accepted_at = None
        proxy.down = False
        try:
            watcher.wait_for(lambda: len(watcher.messages) > seen, 40)
            arrived = time.monotonic()
        except AssertionError:
            return float("nan")
        finally:
            process.kill()
            process.wait()
        assert proxy.accepted_at is not None
        return arrived - proxy.accepted_at


def growth(testbed: Testbed, client: str) -> dict[str, Any] | None:
    """Bytes in use, early and late. umqtt waits 40 ms for each message (Nagle), so the peers' run is shorter."""
    say(f"heap of {client}")
    return testbed.run(client, "heap", testbed.port(client), early=1000, count=MESSAGES if client == "leaf" else 1000)


def least_heap(testbed: Testbed, client: str) -> int:
    """The least KiB in which the client connects and gets 41 messages through."""
    say(f"least heap of {client}")
    low, high = 16, 256
    while high - low > 2:
        middle = (low + high) // 2
        if testbed.run(client, "heap", testbed.port(client), f"{middle}K", 15, early=20, count=20):
            high = middle
        else:
            low = middle
    return high


def say(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)


def ratio(value: float, ours: float) -> str:
    return f"{value:,.1f} ({value / ours:.2f}x)" if ours else f"{value:,.1f}"


def main() -> None:
    if BINARY is None:
        raise SystemExit("bench/session.py needs mosquitto: apt-get install mosquitto")
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        testbed = Testbed(Path(scratch))
        with testbed.broker:
            table = Table("QoS 1 publish, 48 bytes to a topic of 24", *CLIENTS, title="session (leaf = 1.00x)")
            wires = {client: wire(testbed, client) for client in CLIENTS}
            for qos in (0, 1):
                unit = "TLS records (mqtt-async: -)"
                shown = [f"{wires[c][qos][0]:.2f}" if c != "mqtt-async" else "no TLS" for c in CLIENTS]
                table.add_row(f"{unit}, QoS {qos}", *shown)
                table.add_row(
                    f"bytes on the wire, QoS {qos}", *[ratio(wires[c][qos][1], wires["leaf"][qos][1]) for c in CLIENTS]
                )
            for title, delay, count in (
                ("loopback", 0.0, 1000),
                (f"{ROUND_TRIP * 1000:.0f} ms round trip", ROUND_TRIP / 2, 300),
            ):
                rates = {client: rate(testbed, client, delay, count) for client in CLIENTS}
                table.add_row(f"QoS 1 messages/s, {title}", *[ratio(rates[c], rates["leaf"]) for c in CLIENTS])
            table.add_row("s from link's return to first message", *[f"{back(testbed, client):.3f}" for client in CLIENTS])
            heaps = {client: growth(testbed, client) for client in CLIENTS}
            for key, what in (
                ("idle", "connected and idle"),
                ("early", "after 1,000"),
                ("late", f"after {MESSAGES:,} more"),
            ):
                table.add_row(
                    f"heap bytes, {what}", *[f"{heap[key]:,}" if (heap := heaps[c]) else "failed" for c in CLIENTS]
                )
            table.add_row("least heap that works, KiB", *[str(least_heap(testbed, client)) for client in CLIENTS])
    console.print(table)


if __name__ == "__main__":
    main()
