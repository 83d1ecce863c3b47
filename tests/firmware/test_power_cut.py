"""Power fails within every single flash operation of an outbox's life, on the virtual board's flash under the real LittleFS.

A cut write leaves its first half, a cut erase leaves noise. What the tests cannot show: cells that read differently from
one time to the next, as real NOR flash does after a brown-out.
"""

import struct
from pathlib import Path
from typing import Any

import pytest
from rootlet.board import filesystem

from .conftest import RunLeaf

SCRIPT = (Path(__file__).parent / "scripts" / "power_cut.py").read_text()
BLOCKS, BLOCK = 64, 4096
TABLE, VFS = 0x8000, 0x9000


@pytest.fixture
def pristine(tmp_path: Path) -> Path:
    """A flash with nothing but a partition table and an empty file system."""
    entry = struct.pack("<HBBII16sI", 0x50AA, 1, 0x83, VFS, BLOCKS * BLOCK, b"vfs", 0)
    flash = tmp_path / "pristine.bin"
    flash.write_bytes(b"\xff" * TABLE + entry.ljust(VFS - TABLE, b"\xff") + filesystem.build({}, BLOCKS * BLOCK))
    return flash


def live(leaf: RunLeaf, pristine: Path, seed: int, records: int, cuts: list[int | None]) -> list[dict[str, Any]]:
    given = {"flash": str(pristine.with_name("flash.bin")), "pristine": str(pristine), "seed": seed, "records": records}
    answers: list[dict[str, Any]] = []
    for start in range(0, len(cuts), 100):  # a script's time is bounded
        answers += leaf(SCRIPT, given | {"cuts": cuts[start : start + 100]})
    return answers


@pytest.mark.parametrize("seed", [1])
def test_what_was_promised_survives_a_power_cut_at_any_flash_operation(leaf: RunLeaf, pristine: Path, seed: int) -> None:
    (whole,) = live(leaf, pristine, seed, 120, [1_000_000])
    operations = 1_000_000 - whole["operations_left"]
    assert not whole["cut"]
    assert not whole["lost"]
    assert not whole["dropped"]
    assert operations > 150
    assert whole["promised"] > 40
    answers = live(leaf, pristine, seed, 120, list(range(1, operations + 1)))
    assert all(answer["cut"] for answer in answers)
    assert [answer["lost"] for answer in answers if answer["lost"]] == []
    assert [answer["corrupt"] for answer in answers if answer["corrupt"]] == []
    assert all(answer["left"] == [0, 0] for answer in answers)  # all delivered, nothing damaged, no segment left over
