"""A short slice of each campaign: the whole is ``make campaign``."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.mosquitto import needs_mosquitto

from campaign import day, fuzz, host_fuzz, soak
from campaign.months import seed as months
from campaign.months.events import DAY
from campaign.months.life import Life, World


@needs_mosquitto
def test_what_was_promised_survives_some_bad_days() -> None:
    with day.World() as world:
        outcomes = [day.run(world, seed) for seed in range(1, 4)]
    assert [outcome.problems for outcome in outcomes if outcome.problems] == []
    assert sum(outcome.promised for outcome in outcomes) > 200
    assert sum(outcome.boots for outcome in outcomes) > 5


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_bytes_meet_the_error_that_is_documented(seed: int, tmp_path: Path) -> None:
    assert fuzz.run(seed, 700, fuzz.identity_bytes(), str(tmp_path / "scratch")) == []


@needs_mosquitto
def test_five_thousand_messages_leave_the_heap_as_it_was() -> None:
    assert soak.run(5000)["problems"] == []


@pytest.mark.parametrize("kind", host_fuzz.FUZZES, ids=lambda kind: kind.__name__)
def test_hostile_input_meets_a_documented_error_on_the_host(kind: Callable[[], None]) -> None:
    host_fuzz.run(kind, 1, host_fuzz.EXAMPLES)


# Of the troubles of campaign/months those whose days cost little.
MONTHS = ("cut", "dns", "damaged files", "deactivated", "deep sleep", "down", "power", "restart", "silent", "stall", "thief")


def test_a_device_comes_back_in_time_and_loses_nothing_in_days_of_trouble() -> None:
    with World() as world:
        outcomes = [months.run(world, seed, days=4, kinds=MONTHS) for seed in (1, 4)]
    assert [outcome.problems for outcome in outcomes if outcome.problems] == []
    assert [outcome.days for outcome in outcomes] == [4, 4]
    assert sum(outcome.kept for outcome in outcomes) > 500
    assert sum(len(outcome.troubles) for outcome in outcomes) > 5


def test_a_seed_of_months_takes_the_same_course_again() -> None:
    courses = []
    for _ in range(2):
        with World() as world:
            life = Life(world, 1)
            try:
                life.live(DAY // 2)
            finally:
                life.close()
        # Neither its keys nor, to the byte, what its conservative collector leaves in the heap are the seed's.
        courses.append(
            [(time, re.sub("certificate [0-9a-f]+|[0-9]+ bytes used, [0-9]+ free", "", line)) for time, line in life.lines]
        )
    # What the board said last may still be in its pipe when the life is ended.
    common = min(map(len, courses))
    assert common > 50 and max(map(len, courses)) - common < 5
    assert courses[0][:common] == courses[1][:common]
