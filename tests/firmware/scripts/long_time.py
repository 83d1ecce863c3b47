# The beginning of the tests of long times: a board's own time, much faster than the host's, with a chip's ticks.
import laboratory

laboratory.power_on({"speed": given["speed"]})

import ticks  # noqa: E402

ticks.power_on()

import asyncio  # noqa: E402
import time  # noqa: E402

from leaf import clock, faults, tasks  # noqa: E402


async def pass_days(count):
    for _ in range(count):
        await asyncio.sleep(86400)
        clock.monotonic()  # which the guard asks for every second
