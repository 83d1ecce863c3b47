"""Weeks and months of one boot: ticks wrap, and nothing that the device says or does may notice."""

from pathlib import Path
from typing import Any

import pytest

from .conftest import RunLeaf

PRELUDE = (Path(__file__).parents[0] / "scripts" / "long_time.py").read_text()
DAY = 86400


@pytest.fixture
def run(leaf: RunLeaf) -> Any:
    return lambda script, speed=4_000_000: leaf(PRELUDE + script, {"speed": speed})


def test_what_is_due_in_a_month_is_called_in_a_month(run: Any) -> None:
    wrapped, called, milliseconds = run("""
before = time.ticks_ms()
called = []
enough = asyncio.Event()
async def monthly():
    called.append(clock.monotonic())
    if len(called) == 2:
        enough.set()
async def main():
    try:
        await asyncio.sleep(30 * 86400)
    except OverflowError:  # as on a chip
        asyncio.create_task(tasks.for_ever("monthly", 30 * 86400, monthly))
        await enough.wait()
        answer([time.ticks_diff(time.ticks_ms(), before), called, clock.milliseconds()])
asyncio.run(main())
""")
    assert abs(wrapped) < 1 << 29
    assert 30 * DAY <= called[1] - called[0] < 31 * DAY
    assert milliseconds >= 30 * DAY * 1000


def test_a_connection_that_ends_after_weeks_is_that_old(run: Any) -> None:
    age, sent, word, cause = run("""
from leaf import evidence
from leaf.mqtt import Flight, Session
session = Session("thing-1", "host", 8883, 60)
flight = Flight(bytearray(b"\\x30\\x00"), "somewhere", None)
flight.sent = clock.milliseconds()
session.in_flight[1] = flight
seen = evidence.history()
seen["idle_ends"] = 1
asyncio.run(pass_days(8))
ended = faults.Fault("connection-lost", "the server closed the connection")
fault = evidence.explain(seen, ended, session, "0" * 64)
answer([session.age(), clock.milliseconds() - flight.sent, fault.word, fault.cause])
""")
    assert age >= 8 * DAY * 1000 and sent >= 8 * DAY * 1000
    assert word == "connection-lost" and cause == "the server closed the connection"


def test_a_task_that_raises_is_named_and_goes_on(run: Any) -> None:
    """Whoever starts a task and does not wait for it would otherwise never hear of its end."""
    calls, said, waiting = run(
        """
calls = []
async def fails(value):
    calls.append(value)
    raise OverflowError("ticks interval overflow")
async def main():
    asyncio.create_task(tasks.for_ever("telemetry climate", 1, fails, 1))
    await asyncio.sleep(3)
    asyncio.get_event_loop().set_exception_handler(tasks.failed)
    asyncio.create_task(fails(2))
    await asyncio.sleep(3)
said = []
report = faults.report
faults.report = lambda fault: said.append(fault.cause)
asyncio.run(main())
answer([calls, said[0], [[fault.word, fault.cause] for fault in faults.waiting]])
""",
        20,
    )
    assert calls.count(1) >= 2
    assert said == "telemetry climate: OverflowError: ticks interval overflow"
    assert ["unexpected", "one of the tasks: OverflowError: ticks interval overflow"] in waiting
    assert len(waiting) <= 8
