"""Power fails within every single flash operation of an outbox's life, on the virtual board's flash under the real LittleFS.

A cut write leaves its first half, a cut erase leaves noise. What the test cannot show: cells that read differently from
one time to the next, as real NOR flash does after a brown-out. More seeds: ``campaign/power_cuts.py``.
"""

from pathlib import Path

from support import power_cut


def test_what_was_promised_survives_a_power_cut_at_any_flash_operation(tmp_path: Path) -> None:
    pristine = power_cut.make_pristine(tmp_path)
    count = power_cut.operations(pristine, 1, 120)
    assert count > 150
    answers = power_cut.live(pristine, 1, 120, range(1, count + 1))
    assert all(answer["cut"] for answer in answers)
    assert max(answer["promised"] for answer in answers) > 40
    assert [power_cut.problems(answer) for answer in answers if power_cut.problems(answer)] == []
