"""The clock before TLS, on a board whose clock is its own: unset at power-on, as an ESP32's is."""

import functools
import re
import time
from collections.abc import Callable
from pathlib import Path

from support.device import BuiltDevice, fault_line
from support.ntp import AdjustableTimeServer

MakeDevice = Callable[[str], BuiltDevice]
UNSET = 946684800  # 2000-01-01: an ESP32 after power-on
YEAR = 365 * 86400

SHOWS = (Path(__file__).parents[1] / "apps" / "shows_time.py").read_text()


def showing(device: BuiltDevice, servers: list[str]) -> BuiltDevice:
    device.application = device.directory / "shows.py"
    device.application.write_text(SHOWS)
    device.config = {**device.config, "ntp": servers}
    device.resolve = {**device.resolve, **dict.fromkeys(servers, "127.0.0.1")}
    device.built = int(time.time()) - 86400
    return device


def test_an_unset_clock_is_set_before_tls(registered: MakeDevice) -> None:
    device = showing(registered("clock-1"), ["honest.example"])
    with AdjustableTimeServer() as server, device.boot(clock=UNSET, ports={"123": server.port}) as board:
        board.wait_for("clock: set from honest.example")
        assert not [line for line in board.lines if "tls:" in line]
        board.wait_for("telemetry: climate acknowledged")
        found = board.wait_for(r"CLOCK (\d+) True")
        assert abs(int(found.group(1)) - time.time()) < 5


def test_a_server_from_1999_or_2099_is_refused(registered: MakeDevice) -> None:
    device = showing(registered("clock-2"), ["liar.example"])
    for lie in (UNSET - YEAR, 4_090_000_000):
        with (
            AdjustableTimeServer(functools.partial(float, lie)) as server,
            device.boot(clock=UNSET, ports={"123": server.port}) as board,
        ):
            board.wait_for("liar.example says a time before this image was built, or in another age: refused")
            assert "no NTP server set it" in fault_line(board, "clock-unset")
            assert not [line for line in board.lines if "tls:" in line or "clock: set" in line]


def test_a_server_behind_a_silent_one_is_asked(registered: MakeDevice) -> None:
    device = showing(registered("clock-3"), ["silent.example", "second.example"])
    with AdjustableTimeServer() as server:
        first: list[int] = []

        def clock() -> float | None:
            first.append(1)
            return None if len(first) == 1 else time.time()

        server.clock = clock
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("clock: silent.example: no answer")
            board.wait_for("clock: set from second.example")


def test_without_any_server_the_last_known_time_carries_over_a_reboot_but_dates_nothing(registered: MakeDevice) -> None:
    device = showing(registered("clock-4"), ["ntp.example"])
    with AdjustableTimeServer() as server:
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("telemetry: climate acknowledged")
        server.clock = lambda: None
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("going on from the last time known before the reset")
            board.wait_for("telemetry: climate acknowledged")
            board.wait_for(r"CLOCK \d+ False")
        # Nor does a server that is behind it get a hearing.
        server.clock = lambda: time.time() - 3600
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("ntp.example says a time before this image was built")


def test_a_clock_that_survived_the_reset_keeps_nobody_waiting(registered: MakeDevice) -> None:
    device = showing(registered("clock-5"), ["ntp.example"])
    with AdjustableTimeServer() as server, device.boot(clock=int(time.time()), ports={"123": server.port}) as board:
        board.wait_for("telemetry: climate acknowledged")
        assert server.asked == 0
        assert re.search("CLOCK .* True", "\n".join(board.lines))
