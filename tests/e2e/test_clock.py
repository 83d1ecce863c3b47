"""The clock before TLS, on a board whose clock is its own: unset at power-on, as an ESP32's is."""

import datetime as dt
import functools
import re
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki.authority import Authority
from support.chains import HOST, NOW, make_chain
from support.device import BuiltDevice, fault_line
from support.impostor import Impostor
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
            board.wait_for("clock: kept")
        server.clock = lambda: None
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("going on from the last time known before the reset")
            board.wait_for("telemetry: climate acknowledged")
            board.wait_for(r"CLOCK \d+ False")
        # Nor does a server that is behind it get a hearing.
        server.clock = lambda: time.time() - 3600
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("ntp.example says a time before the last one known: not without a second server")


def test_a_clock_that_survived_the_reset_keeps_nobody_waiting(registered: MakeDevice) -> None:
    device = showing(registered("clock-5"), ["ntp.example"])
    with AdjustableTimeServer() as server, device.boot(clock=int(time.time()), ports={"123": server.port}) as board:
        board.wait_for("telemetry: climate acknowledged")
        assert server.asked == 0
        assert re.search("CLOCK .* True", "\n".join(board.lines))


def test_an_answer_that_lied_is_lowered_by_two_that_agree(registered: MakeDevice) -> None:
    """The chain was valid by the lie too, so it became the time before which no single server is believed."""
    device = showing(registered("clock-6"), ["first.example", "second.example"])
    with AdjustableTimeServer(lambda: time.time() + 2 * 86400) as server:
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("clock: kept")
        server.clock = time.time
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            board.wait_for("first.example says a time before the last one known: not without a second server")
            board.wait_for("clock: set from second.example, which another server agrees with")
            found = board.wait_for(r"CLOCK (\d+) True")
            assert abs(int(found.group(1)) - time.time()) < 5


def test_a_time_by_which_the_chain_has_expired_is_not_kept_and_asked_for_again(tmp_path: Path, authority: Authority) -> None:
    """The virtual board's TLS goes by the host's clock, so here it is the chain that is wrong."""
    old = make_chain(days=1, now=NOW - dt.timedelta(days=30))
    root = tmp_path / "root.crt"
    root.write_bytes(old.root.public_bytes(Encoding.PEM))
    device = BuiltDevice(tmp_path, authority.issue("clock-7"), {"endpoint": HOST}, root, {HOST: "127.0.0.1"})
    showing(device, ["ntp.example"])
    with AdjustableTimeServer(lambda: time.time() + YEAR) as server, Impostor(old.sent, old.key) as impostor:
        device.config = {**device.config, "port": impostor.port}
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:
            fault_line(board, "tls-expired")
            server.clock = time.time
            board.wait_for("clock: set from one server, since nothing vouches for the clock")
            found = board.wait_for(r"CLOCK (\d+) True", since=len(board.lines))
            assert abs(int(found.group(1)) - time.time()) < 5
        with device.boot(clock=UNSET, ports={"123": server.port}) as board:  # nothing in flash refuses the honest time
            board.wait_for("clock: set from ntp.example")


SLEEPS = """
import machine
from leaf import Device, clock

device = Device()
taken = {}

@device.telemetry(every=1)
def climate():
    global taken
    print("CLOCK", clock.now(), taken.get("time"), machine.reset_cause())
    if "time" in taken:
        machine.deepsleep(20 * 3600 * 1000)
    taken = {}
    return taken

device.run()
"""


def test_a_sleeper_asks_again_where_its_clock_has_gone_wrong(registered: MakeDevice) -> None:
    """By an hour in 20, as that of an ESP32 may which has no crystal for its sleep."""
    device = showing(registered("clock-8"), ["ntp.example"])
    device.application.write_text(SLEEPS)
    hours = 20 * 3600
    with (
        AdjustableTimeServer() as server,
        device.boot(clock=UNSET, ports={"123": server.port}, sleep_speed=hours / 0.5, sleep_drift=0.05) as board,
    ):
        server.clock = lambda: time.time() + hours * sum("asleep" in line for line in board.lines)
        for wake, cause in enumerate(("1", "4")):
            found = board.wait_for(rf"CLOCK (\d+) (\d+) {cause}")
            assert abs(int(found[2]) - time.time() - hours * wake) < 10
        assert server.asked == 2


SETS = """
import machine
from leaf import Device, clock

device = Device()
taken = {}
readings = 0

@device.telemetry(every=0.2)
def climate():
    global taken, readings
    readings += 1
    if readings == 20:
        machine.RTC().datetime((2000, 1, 1, 0, 0, 0, 0, 0))
    print("TIME", taken.get("time"))
    taken = {}
    return taken

device.run()
"""


def test_an_application_that_sets_the_clock_back_dates_no_reading_by_it(registered: MakeDevice) -> None:
    device = showing(registered("clock-9"), ["ntp.example"])
    device.application.write_text(SETS)
    with AdjustableTimeServer() as server, device.boot(clock=UNSET, ports={"123": server.port}) as board:
        board.wait_for("clock: set to another age, and not by us: put right")
        board.wait_for(r"TIME \d+", since=len(board.lines))
    dates = [int(line.split()[1]) for line in board.lines if re.match(r"TIME \d", line)]
    assert all(abs(date - time.time()) < 60 for date in dates)
    assert len(dates) > 5
