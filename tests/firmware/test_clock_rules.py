"""What moves a clock that was right: its drift, or two servers that agree; never one that lies."""

from typing import Any

import pytest

from .conftest import RunLeaf

SCRIPT = """
import asyncio
import time
from leaf import clock, sntp, state
import leaf.sync as c

now = 1800000000
real = [now]
c.now = lambda: real[0]
c.floor = lambda: now - 86400
c.monotonic = lambda: given["elapsed"]
def put(seconds):
    real[0] = seconds
c._set = put
state.read = lambda name, default: default
state.write = lambda name, value: None
c._Here.dated, c._Here.synchronized, c._Here.due = True, 0, 0

async def query(server, timeout):
    answer = given["servers"][int(server)]
    if answer is None:
        raise OSError("no answer")
    return now + answer

sntp.query = query
asyncio.run(c.ensure([str(n) for n in range(len(given["servers"]))]))
answer([real[0] - now, c._Here.due])
"""


@pytest.mark.parametrize(
    ("servers", "moved"),
    [
        ([3], 3),
        ([40], 40),  # a day's drift
        ([3000], 0),  # one that lies: an hour is no drift
        ([3000, None], 0),
        ([3000, 3001], 3001),  # two say so: our own clock was wrong
        ([3000, 2], 2),
        ([-3000, -3002], -3002),
        ([-90000], 0),  # before the image was built
    ],
)
def test_a_running_clock_moves_by_its_drift_or_by_the_word_of_two(leaf: RunLeaf, servers: Any, moved: int) -> None:
    found, due = leaf(SCRIPT, {"elapsed": 86400, "servers": servers})
    assert found == moved
    assert due == 86400 + (86400 if moved else 3600)
