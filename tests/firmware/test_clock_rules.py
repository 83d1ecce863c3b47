"""What sets a clock, what is kept of it, and how long it may date a reading."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .conftest import RunLeaf

SCRIPT = (Path(__file__).parents[0] / "scripts" / "clock_rules.py").read_text()
NOW = 1_800_000_000
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
UNSET = 946_684_800 - NOW  # an ESP32's clock after power-on, beside the true time
DEEP_SLEEP = 4  # machine.DEEPSLEEP_RESET of the virtual board


class Found(NamedTuple):
    moved: Any  # what the clock shows in the end, beside the true time; or a fault's word
    due: int
    dated: bool
    asked: int
    kept: list[Any]


@pytest.fixture
def clock(leaf: RunLeaf) -> Any:
    return lambda **given: Found(*leaf(SCRIPT, {"elapsed": 10, **given}))


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
        ([-20 * DAY], 0),  # before the image was built
    ],
)
def test_a_running_clock_moves_by_its_drift_or_by_the_word_of_two(clock: Any, servers: Any, moved: int) -> None:
    found = clock(runs=True, elapsed=DAY, off=DAY, servers=[None if one is None else DAY + one for one in servers])
    assert found.moved == DAY + moved
    assert found.due == DAY + (DAY if moved else HOUR)
    assert found.kept == ([[NOW + DAY + moved] * 2] if abs(moved) < 60 and moved else [])


def test_an_unset_clock_takes_the_first_answer_and_keeps_it_only_once_a_certificate_agrees(clock: Any) -> None:
    assert clock(off=UNSET, servers=[YEAR, 0]).kept == []
    assert clock(off=UNSET, servers=[YEAR, 0]).moved == YEAR
    assert clock(off=UNSET, servers=[0, 0], then="tried") == (0, 10 + DAY, True, 1, [[NOW, NOW]])


@pytest.mark.parametrize(
    ("again", "moved"),
    [
        ([0, None], 0),  # it has thought better of it
        ([YEAR, 0], 0),  # it lies still, and what a second one says is something else
        ([YEAR, None], YEAR),  # nothing else is to be had
        ([None, None], YEAR),
    ],
)
def test_a_time_by_which_no_certificate_is_valid_is_asked_for_again_at_once(clock: Any, again: Any, moved: int) -> None:
    found = clock(off=UNSET, servers=[YEAR, None], then="refuted", again=again)
    assert found.moved == moved
    assert found.due == 10 + 600
    assert found.kept == []


def test_a_clock_by_which_certificates_were_valid_is_not_refuted_by_one_that_has_expired(clock: Any) -> None:
    found = clock(runs=True, off=10, servers=[YEAR], then="refuted", again=[YEAR])
    assert (found.moved, found.dated, found.asked) == (10, True, 1)


@pytest.mark.parametrize(
    ("servers", "moved", "dated"),
    [
        ([0, None], YEAR, False),  # one alone does not lower what is known; TLS goes on with that
        ([0, 1], 1, True),  # two that agree do
        ([0, -YEAR], YEAR, False),
    ],
)
def test_two_servers_that_agree_lower_a_time_that_was_known_wrongly(
    clock: Any, servers: Any, moved: int, dated: bool
) -> None:
    found = clock(off=UNSET, servers=servers, kept=[NOW + YEAR, NOW + YEAR])
    assert (found.moved, found.dated) == (moved, dated)


def test_one_server_lowers_it_where_a_certificate_refutes_it_too(clock: Any) -> None:
    found = clock(off=UNSET, servers=[0], kept=[NOW + YEAR, NOW + YEAR], then="refuted", again=[0])
    assert found.moved == 0


@pytest.mark.parametrize("kept", [[NOW + 21 * YEAR, NOW], [NOW - 20 * DAY, 0], [1], ["x", "y"], {}, 5, [True, None]])
def test_what_is_kept_and_cannot_be_true_is_as_nothing(clock: Any, kept: Any) -> None:
    assert clock(off=UNSET, servers=[0], kept=kept).moved == 0
    assert clock(off=UNSET, servers=[None], kept=kept).moved == "clock-unset"


@pytest.mark.parametrize(
    ("ago", "asked", "dated"),
    [
        (300, 0, True),
        (1200, 1, True),  # in deep sleep a clock may go wrong by 5 %: a minute
        (3 * HOUR, 1, False),
        (30 * DAY, 1, False),
    ],
)
def test_trust_in_a_clock_that_ran_on_through_a_reset_fades(clock: Any, ago: int, asked: int, dated: bool) -> None:
    """The server is silent, so what is left is the last answer's age."""
    found = clock(off=0, servers=[None], kept=[NOW - ago, NOW - ago], cause=DEEP_SLEEP)
    assert (found.asked, found.dated, found.moved) == (asked, dated, 0)


@pytest.mark.parametrize("off", [3 * HOUR, -3 * HOUR])
def test_a_clock_that_woke_hours_off_is_set_by_one_server(clock: Any, off: int) -> None:
    found = clock(off=off, servers=[0], kept=[NOW - 6 * HOUR, NOW - 6 * HOUR], cause=DEEP_SLEEP)
    assert (found.moved, found.dated) == (0, True)


def test_a_sleeper_that_never_had_an_answer_asks_at_every_wake(clock: Any) -> None:
    found = clock(off=5, servers=[None], cause=DEEP_SLEEP)
    assert (found.asked, found.dated) == (1, False)


def test_weeks_without_an_answer_end_the_dating_of_readings(clock: Any) -> None:
    assert clock(runs=True, elapsed=6 * DAY, off=6 * DAY, servers=[None]).dated
    assert not clock(runs=True, elapsed=8 * DAY, off=8 * DAY, servers=[None]).dated


def test_a_clock_that_the_application_set_is_put_right(clock: Any) -> None:
    to_2000 = clock(runs=True, elapsed=100, off=UNSET, servers=[None])
    assert (to_2000.moved, to_2000.dated) == (100, True)
    assert clock(runs=True, elapsed=100, off=HOUR, servers=[100]).moved == 100  # a server's word decides
    kept = clock(runs=True, elapsed=100, off=HOUR, servers=[None])
    assert (kept.moved, kept.dated) == (HOUR, True)  # without one the application may know
