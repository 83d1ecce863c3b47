"""A long life on one connection: ``python -m campaign.soak [--messages N]``, a million by default.

The device's session publishes N messages with QoS 1 to a real mosquitto over mutual TLS. Each must arrive, and after
the last the heap must be what it was after the first thousand.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import session
from paho.mqtt.enums import CallbackAPIVersion

GROWTH = 1024  # bytes that the heap may differ by: what happens to be in flight when it is measured


def run(messages: int) -> dict[str, Any]:
    """What was seen; ``problems`` is empty where all is well."""
    arrived = 0

    def count(*_: Any) -> None:
        nonlocal arrived
        arrived += 1

    with tempfile.TemporaryDirectory() as scratch:
        testbed = session.Testbed(Path(scratch))
        with testbed.broker:
            watcher = paho.Client(CallbackAPIVersion.VERSION2)
            watcher.on_message = count
            watcher.connect("127.0.0.1", testbed.broker.plain_port)
            watcher.subscribe("dt/#", qos=0)
            watcher.loop_start()
            started = time.monotonic()
            found = testbed.run("leaf", "heap", testbed.broker.port, timeout=7200, early=1000, count=messages) or {}
            seconds = time.monotonic() - started
            deadline = time.monotonic() + 30
            while arrived < messages + 1001 and time.monotonic() < deadline:
                time.sleep(0.05)
            watcher.loop_stop()
    problems = []
    if not found:
        problems.append("the device did not come to the end")
    elif found["late"] - found["early"] > GROWTH:
        problems.append(f"the heap grew by {found['late'] - found['early']} bytes")
    if arrived < messages + 1001:
        problems.append(f"{messages + 1001 - arrived} messages did not arrive")
    return {"messages": messages, "arrived": arrived, "seconds": round(seconds, 1), "heap": found, "problems": problems}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    outcome = run(parser.parse_args().messages)
    print(json.dumps(outcome))
    raise SystemExit(1 if outcome["problems"] else 0)


if __name__ == "__main__":
    main()
