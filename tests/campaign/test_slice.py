"""A short slice of each campaign: the whole is ``make campaign``."""

from support.mosquitto import needs_mosquitto

from campaign import outages


@needs_mosquitto
def test_promised_readings_survive_a_short_bad_day() -> None:
    outcome = outages.run(seed=3, records=600)
    assert outcome.problems == []
    assert outcome.promised >= 600
