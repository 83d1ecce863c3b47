"""What moves a clock that was right: its drift, or two servers that agree; never one that lies."""

from pathlib import Path
from typing import Any

import pytest

from .conftest import RunLeaf

SCRIPT = (Path(__file__).parents[0] / "scripts" / "clock_rules.py").read_text()


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
        ([-90000], 0),  # before the image was built
    ],
)
def test_a_running_clock_moves_by_its_drift_or_by_the_word_of_two(leaf: RunLeaf, servers: Any, moved: int) -> None:
    found, due = leaf(SCRIPT, {"elapsed": 86400, "servers": servers})
    assert found == moved
    assert due == 86400 + (86400 if moved else 3600)
