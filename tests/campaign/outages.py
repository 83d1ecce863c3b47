"""Readings through a bad day, many times over: ``tests/campaign/outages.py [--seed N] [--runs N] [--records N]``.

A virtual board stores numbered readings and says which of them it promised. Meanwhile a seeded hand resets connections,
stalls them, takes the link away, hands out bytes one by one, steals the client id and wipes the session, and pulls the
board's plug. Afterwards every promised reading must have arrived, none damaged, and the board must have come back by itself
each time. A failing seed is printed; it draws the same faults again, though not at the same instruction.
"""

import argparse
import contextlib
import json
import random
import re
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.pki.authority import Authority, Subject
from support.chains import HOST
from support.device import Device
from support.mosquitto import Mosquitto, Watcher
from support.proxy import FaultyProxy

APPLICATION = """
import asyncio, binascii, os
from leaf import REFUSE_NEW, Device

device = Device()
boot = binascii.hexlify(os.urandom(4)).decode()
number = 0

@device.telemetry(every=0.05, full=REFUSE_NEW)
def tick():
    global number
    number += 1
    return {"boot": boot, "n": number, "check": (number * 7919) % 65521}

@device.telemetry(every=0.05, full=REFUSE_NEW)
def batch():
    global number
    first = number + 1
    for _ in range(9):
        number += 1
        if not device.record("tick", {"boot": boot, "n": number, "check": (number * 7919) % 65521}):
            number -= 1
            return {"full": True}
    number += 1
    if device.record("tick", {"boot": boot, "n": number, "check": (number * 7919) % 65521}, durable=True):
        print("PROMISED", boot, first, number)
    return {"boot": boot}

device.run()
"""

FAULTS = ("reset", "stall", "down", "fragments", "thief", "power")


@dataclass
class Outcome:
    """What one run did and found."""

    seed: int
    promised: int = 0
    delivered: int = 0
    duplicates: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    seconds: float = 0
    problems: list[str] = field(default_factory=list)


class Run:
    """One seed's run in ``directory``: at least ``records`` promised readings."""

    def __init__(self, seed: int, records: int, directory: Path) -> None:
        self._random = random.Random(seed)
        self._records = records
        self._outcome = Outcome(seed)
        authority = Authority.create(directory / "ca", b"campaign" * 3, name="Campaign CA", subject=Subject())
        self._broker = Mosquitto(directory, authority)
        application = directory / "application.py"
        application.write_text(APPLICATION)
        config = {"endpoint": HOST, "keep_alive": 30, "outbox_ram": 2048, "outbox_flash": 1 << 20, "connect_timeout": 5}
        self._device = Device(
            directory, authority.issue("campaign"), config, self._broker.root, {HOST: "127.0.0.1"}, application=application
        )
        self._lines: list[str] = []

    def outcome(self) -> Outcome:
        started = time.monotonic()
        with self._broker, FaultyProxy(self._broker.port) as proxy:
            self._device.config = {**self._device.config, "port": proxy.port}
            with Watcher(self._broker.plain_port) as watcher:
                board = self._boot()
                try:
                    while self._outcome.promised < self._records:
                        board = self._fault(board, proxy)
                        self._outcome.promised = len(self._promises(board))
                    self._settle(board, watcher)
                finally:
                    self._lines += board.lines
                    board.stop()
                self._judge(watcher)
        self._outcome.seconds = time.monotonic() - started
        return self._outcome

    def _boot(self) -> VirtualBoard:
        board = self._device.boot()
        board.start()
        return board

    def _fault(self, board: VirtualBoard, proxy: FaultyProxy) -> VirtualBoard:
        draw = self._random
        time.sleep(draw.uniform(0.3, 2.5))
        fault = draw.choice(FAULTS)
        self._outcome.faults[fault] = self._outcome.faults.get(fault, 0) + 1
        if fault == "reset":
            proxy.cut()
        elif fault == "stall":
            proxy.stalled = True
            time.sleep(draw.uniform(0.5, 4))
            if draw.random() < 0.5:
                proxy.cut()
            proxy.stalled = False
        elif fault == "down":
            proxy.down = True
            time.sleep(draw.uniform(0.5, 4))
            proxy.down = False
        elif fault == "fragments":
            proxy.fragment = 1
            proxy.cut()
            time.sleep(draw.uniform(0.5, 2))
            proxy.fragment = 0
        elif fault == "broker":
            _steal(self._broker.plain_port)
        else:
            self._lines += board.lines
            board.stop()
            board = self._boot()
        return board

    def _promises(self, board: VirtualBoard) -> set[tuple[str, int]]:
        found = set()
        for line in [*self._lines, *board.lines]:
            if match := re.search(r"PROMISED (\w+) (\d+) (\d+)", line):
                found |= {(match[1], number) for number in range(int(match[2]), int(match[3]) + 1)}
        return found

    def _settle(self, board: VirtualBoard, watcher: Watcher) -> None:
        # The network is quiet now; what was promised so far must come in, whatever is promised meanwhile.
        promised = self._promises(board)
        with contextlib.suppress(AssertionError):
            watcher.wait_for(lambda: promised <= _delivered(watcher), 180)
        self._outcome.promised = len(promised)
        if lost := promised - _delivered(watcher):
            self._outcome.problems.append(f"{len(lost)} promised readings did not arrive, first {min(lost)}")

    def _judge(self, watcher: Watcher) -> None:
        arrived = watcher.on("/tick")
        delivered = _delivered(watcher)
        self._outcome.delivered = len(delivered)
        self._outcome.duplicates = len(arrived) - len(delivered)
        if broken := [reading for reading in arrived if not _sound(reading)]:
            self._outcome.problems.append(f"{len(broken)} readings are damaged, first {broken[0]!r}")
        for line in self._lines:
            if re.search(r"fault: (unexpected|out-of-memory|application)|Traceback", line):
                self._outcome.problems.append(f"the board said: {line}")


def _steal(port: int) -> None:
    """Connect under the board's client id with a clean session: the broker drops the board and all it kept for it."""
    gone = threading.Event()
    thief = paho.Client(CallbackAPIVersion.VERSION2, client_id="campaign", clean_session=True)
    thief.on_connect = lambda *_: gone.set()
    thief.connect("127.0.0.1", port)
    thief.loop_start()
    gone.wait(5)
    thief.disconnect()
    thief.loop_stop()


def _delivered(watcher: Watcher) -> set[tuple[str, int]]:
    return {(reading["boot"], reading["n"]) for reading in watcher.on("/tick") if _sound(reading)}


def _sound(reading: Any) -> bool:
    return isinstance(reading, dict) and reading.get("check") == (reading.get("n", 0) * 7919) % 65521


def run(seed: int, records: int) -> Outcome:
    """One run in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="rootlet-campaign-") as directory:
        return Run(seed, records, Path(directory)).outcome()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--records", type=int, default=10_000, help="promised readings a run")
    arguments = parser.parse_args()
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        outcome = run(seed, arguments.records)
        failed += bool(outcome.problems)
        print(json.dumps(vars(outcome)), flush=True)
    raise SystemExit(f"{failed} of {arguments.runs} runs failed" if failed else 0)


if __name__ == "__main__":
    main()
