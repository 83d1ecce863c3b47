"""A device's life on the 32-bit board: what its heap holds at each rung, and what is left of it after a day."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import chip32
from support.chip32 import account, board

SECOND = 1000
OUTAGE = 300  # seconds, in which readings go to flash
DAY = 86_400 * SECOND
REQUESTS = f"cmd/leaf/{board.THING}/request"


def command(number: int) -> list[Any]:
    """The script's arguments for a command from the cloud."""
    request = {"id": str(number), "command": "echo", "arguments": {"text": "hello from the cloud"}}
    return [REQUESTS, json.dumps(request), number]


def once(application: Path) -> list[account.Mark]:
    """The heap along a boot, a connection with a command, the end of it, the next one, and one after a long outage."""
    return account.marks(_once(application))


def _once(application: Path) -> chip32.Run:
    run = board.run(
        application,
        script=[
            [2 * SECOND, "tell", ["serving"]],
            [3 * SECOND, "publish", command(1)],
            [4 * SECOND, "tell", ["command"]],
            [20 * SECOND, "cut", []],
            [60 * SECOND, "tell", ["reconnected"]],
            [61 * SECOND, "leave", [OUTAGE]],
            [(61 + OUTAGE) * SECOND, "tell", ["offline"]],
            [(61 + OUTAGE) * SECOND + 120 * SECOND, "tell", ["backlog delivered"]],
            [(61 + OUTAGE) * SECOND + 121 * SECOND, "end", []],
        ],
    )
    assert not run.trap, "\n".join([*run.lines[-20:], run.trap])
    return run


@dataclass(frozen=True)
class Fragmentation:
    """Bytes, in a heap of a chip's first area: free after a collection, and the largest free block; by hours."""

    hours: float
    free: int
    largest: int


@dataclass(frozen=True)
class Day:
    """What was seen. ``faults`` are the words that the device reported."""

    samples: list[Fragmentation]
    connections: int
    readings: int
    faults: set[str]


def day(application: Path, hours: float = 24, reconnects: int = 200, outage: int = 0) -> Day:
    """Telemetry, commands, reconnects and then an outage (in seconds) in a heap of ``chip32.FIRST_AREA`` bytes.

    Raises AssertionError where it ends early.
    """
    length = int(hours * 3600 * SECOND)
    every = length // (reconnects + 1)
    run = board.run(
        application,
        chip32.FIRST_AREA + account.excess(account.raw(_once(application))),
        quiet=True,
        script=[
            [5 * SECOND, "publish", command(1), 600 * SECOND],
            [every, "cut", [], every],
            *([[length - (outage + 120) * SECOND, "leave", [outage]]] if outage else []),
            [30 * SECOND, "largest", [0]],
            *([int(length * part / 4) - SECOND, "largest", [hours * part / 4]] for part in (1, 2, 3, 4)),
            [length, "end", []],
        ],
    )
    assert not run.trap, "\n".join([*run.lines[-20:], run.trap])
    text = "\n".join(run.lines)
    found = re.findall(r"^@@ (\S+)\n(?:.*\n)*?GC: total: \d+, used: \d+, free: (\d+).*\n.*max free sz: (\d+)", text, re.M)
    return Day(
        [Fragmentation(float(at), int(free), int(blocks) * 16) for at, free, blocks in found],
        text.count("mqtt: connected as"),
        text.count("telemetry: climate acknowledged"),
        set(re.findall(r" fault: (\S+):", text)),
    )
