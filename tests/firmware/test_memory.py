"""What ``leaf`` makes of a C heap that is short, and of the numbers of socket errors, whatever their sign."""

from pathlib import Path

import pytest

from .conftest import RunLeaf

SHORTAGE = """
import esp32
esp32.idf_heap_info = lambda capabilities: given["regions"]
from leaf import heap
fault = heap.shortage("TLS", *given["wanted"])
answer([heap.c_heap(), fault and fault.word, fault and fault.cause])
"""
LOST = (Path(__file__).parents[0] / "scripts" / "lost_connection.py").read_text()


def test_the_c_heap_is_the_sum_of_its_regions_but_for_the_largest_block(leaf: RunLeaf) -> None:
    found, word, _ = leaf(SHORTAGE, {"regions": [[100, 40, 30, 20], [500, 60, 50, 1]], "wanted": [100, 50, 21]})
    assert found == {"free": 100, "largest": 50, "lowest": 21}
    assert word is None


@pytest.mark.parametrize(("wanted", "missing"), [([130], 30), ([0, 90], 40), ([0, 0, 26], 5)])
def test_a_short_c_heap_is_told_with_what_is_missing(leaf: RunLeaf, wanted: list[int], missing: int) -> None:
    _, word, cause = leaf(SHORTAGE, {"regions": [[100, 40, 30, 20], [500, 60, 50, 1]], "wanted": wanted})
    assert word == "out-of-memory"
    assert cause == f"TLS: C heap 100 free, largest block 50, lowest 21, {missing} bytes are missing"


def test_a_failed_allocation_is_known_by_its_number(leaf: RunLeaf) -> None:
    memory = [12, 105, 203, 16, 0x7F00, 0x2880, 0x4D80, 0x4D90, 0x2300 + 0x6A]
    others = [32, 104, 113, 110, 116, 0x7780, 0x7280, 0x2700, 0x7200]
    asked = "from leaf import heap\nanswer([bool(heap.refused(code)) for code in given])"
    assert leaf(asked, memory) == [True] * len(memory)
    assert leaf(asked, others) == [False] * len(others)


def test_a_socket_error_says_the_same_with_either_sign(leaf: RunLeaf) -> None:
    assert leaf(LOST, [-113, 113]) == [["connection-lost", "writing failed (113)", True]] * 2
    assert leaf(LOST, [-104, 104]) == [["connection-lost", "writing failed (104)", False]] * 2
    assert leaf(LOST, [-32, 32, -0x7280]) == [["connection-lost", f"writing failed ({n})", False] for n in (32, 32, 0x7280)]


def test_a_heap_that_is_short_again_and_again_is_counted_and_takes_no_more_memory(leaf: RunLeaf) -> None:
    """Each cause says another number of free bytes: six of them would take a kilobyte of what is missing."""
    counts, last = leaf("""
from leaf import journal
from leaf.faults import Fault
record = {"since": None, "counts": {}, "last": [], "saved": 0, "ticks": None}
for n in range(10):
    journal.add(record, Fault("out-of-memory", "%d bytes free" % n))
journal.add(record, Fault("tcp", "no answer"))
answer([record["counts"], [[word, cause] for _, word, cause in record["last"]]])
""")
    assert counts == {"out-of-memory": 10, "tcp": 1}
    assert last == [["out-of-memory", "9 bytes free"], ["tcp", "no answer"]]
