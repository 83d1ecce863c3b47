"""A short slice of each campaign: the whole is ``make campaign``."""

from pathlib import Path

import pytest
from support.mosquitto import needs_mosquitto

from campaign import fuzz, outages


@needs_mosquitto
def test_promised_readings_survive_a_short_bad_day() -> None:
    outcome = outages.run(seed=3, records=600)
    assert outcome.problems == []
    assert outcome.promised >= 600


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_bytes_meet_the_error_that_is_documented(seed: int, tmp_path: Path) -> None:
    assert fuzz.run(seed, 2000, fuzz.identity_bytes(), str(tmp_path / "scratch")) == []
