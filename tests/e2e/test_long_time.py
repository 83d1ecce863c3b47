"""Weeks of a virtual board's life: its ticks wrap, and the application is called as it asked to be."""

import re
from collections.abc import Callable

from support.device import BuiltDevice, no_line

MakeDevice = Callable[[str], BuiltDevice]
WEEK = 604_800

WEEKLY = """
from leaf import Device, clock

device = Device()

@device.telemetry(every=604800)
def weekly():
    print("WEEKLY", clock.monotonic())
    return {}

@device.telemetry(every=3600)
async def hourly():
    if clock.monotonic() > 1000000:
        raise ValueError("the sensor grew old")

device.run()
"""


def test_a_weekly_reading_comes_every_week_and_the_log_counts_on(make_device: MakeDevice) -> None:
    """After 6 days differences of ticks turn negative; after 12 the ticks themselves begin again."""
    device = make_device("weekly")
    device.application = device.directory / "weekly.py"
    device.application.write_text(WEEKLY)
    device.config = {**device.config, "watchdog": 0}
    # No DNS of the host's: where it takes 5 seconds to answer, that is 11 days of the board's in one call.
    device.resolve = {**device.resolve, "time.aws.com": "127.0.0.1", "pool.ntp.org": "127.0.0.1"}
    with device.boot(speed=200_000, seed=1) as board:
        for week in range(3):
            since = len(board.lines) if week else 0
            found = int(board.wait_for(r"^WEEKLY (\d+)", since=since)[1])
            assert week * WEEK <= found < (week + 0.5) * WEEK
        board.wait_for("telemetry hourly raised ValueError: the sensor grew old")
    times = [int(line.split()[0]) for line in board.lines if re.match(r"-?\d+ \w+: ", line)]
    assert times == sorted(times)
    assert times[-1] > 2 * WEEK * 1000
    assert no_line(board, ["Traceback", "OverflowError"])
