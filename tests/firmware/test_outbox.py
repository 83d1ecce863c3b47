"""The outbox: where a reading is, and what gives way without room. On the host's files; for flash see test_power_cut."""

from pathlib import Path
from typing import Any

import pytest

from .conftest import RunLeaf

PRELUDE = (Path(__file__).parents[0] / "scripts" / "outbox.py").read_text()


@pytest.fixture
def outbox(leaf: RunLeaf, tmp_path: Path) -> Any:
    return lambda script: leaf(PRELUDE + script, str(tmp_path / "outbox"))


def test_while_records_leave_as_they_come_nothing_is_written_to_flash(outbox: Any) -> None:
    seen, flash = outbox("""
box = Outbox(given, 4096, 65536)
seen = []
for n in range(500):
    box.put("climate", b"%d" % n)
    seen += drain(box)
answer([len(seen), files()])
""")
    assert seen == 500
    assert flash == [[], []]


def test_a_full_ram_goes_to_flash_and_comes_back_in_order(outbox: Any) -> None:
    seen, between, after = outbox("""
box = Outbox(given, 1024, 65536)
for n in range(100):
    assert box.put("climate", b"reading %d" % n)
between = files()
answer([drain(box), between, files()])
""")
    backlog = [payload for _, payload in seen]
    assert sorted(backlog, key=lambda text: int(text.split()[1])) == [f"reading {n}" for n in range(100)]
    flashed = [text for text in backlog if int(text.split()[1]) < 90]
    assert flashed == [f"reading {n}" for n in range(90)]  # the newest, still in RAM, took turns with them
    assert between[0]
    assert after == [[], []]


def test_what_is_in_flight_stays_in_flash_until_its_puback(outbox: Any) -> None:
    again = outbox("""
box = Outbox(given, 1024, 65536)
box.put("climate", b"in flight")
flying = box.take()
box.put("climate", b"waiting")
box.flush()
assert not drain(box) == []
answer(drain(Outbox(given, 1024, 65536)))
""")
    assert ["climate", "in flight"] in again


def test_after_its_puback_it_is_gone_from_flash(outbox: Any) -> None:
    assert outbox("""
box = Outbox(given, 1024, 65536)
box.put("climate", b"in flight")
flying = box.take()
box.flush()
box.done(flying)
drain(box)
answer([files(), drain(Outbox(given, 1024, 65536))])
""") == [[[], []], []]


def test_a_segment_goes_with_its_last_puback_however_late_that_comes(outbox: Any) -> None:
    assert outbox("""
box = Outbox(given, 1024, 65536)
for n in range(3):
    box.put("climate", b"%d" % n)
box.flush()
box.drain()
flying = [box.take() for n in range(3)]
assert box.take() is None
seen = []
for record in flying:
    box.done(record)
    seen.append(len(files()[0]))
answer([seen, box.in_flash(), drain(Outbox(given, 1024, 65536))])
""") == [[1, 1, 0], [0, 0], []]


def test_records_in_flight_at_a_flush_are_not_sent_twice_in_this_boot(outbox: Any) -> None:
    assert outbox("""
box = Outbox(given, 1024, 65536)
for n in range(3):
    box.put("climate", b"%d" % n)
flying = box.take()
box.flush()
answer(drain(box))
""") == [["climate", "1"], ["climate", "2"]]


def test_when_flash_is_full_the_oldest_go_and_are_counted(outbox: Any) -> None:
    seen, dropped, bytes_used = outbox("""
box = Outbox(given, 1024, 16384)
for n in range(1000):
    assert box.put("climate", b"%4d" % n + b"." * 60)
used = box.in_flash()[0]
answer([drain(box), box.dropped, used])
""")
    assert len(seen) + dropped["climate"] == 1000
    assert bytes_used <= 16384
    numbers = sorted(int(payload.rstrip(".")) for _, payload in seen)
    assert numbers == list(range(dropped["climate"], 1000))


def test_a_stream_that_refuses_keeps_its_oldest_and_says_no_to_the_new(outbox: Any) -> None:
    taken, seen, dropped = outbox("""
box = Outbox(given, 1024, 16384)
box.rules = {"meter": REFUSE_NEW}
taken = [box.put("meter", b"%4d" % n + b"." * 60) for n in range(1000)]
answer([taken, drain(box), box.dropped])
""")
    kept = taken.index(False)
    assert not any(taken[kept:])
    assert sorted(int(payload.rstrip(".")) for _, payload in seen) == list(range(kept))
    assert dropped == {"meter": 1000 - kept}


def test_a_stream_that_drops_gives_way_to_one_that_must_be_kept(outbox: Any) -> None:
    refused, seen, dropped = outbox("""
box = Outbox(given, 1024, 16384)
box.rules = {"meter": REFUSE_NEW}
for n in range(300):
    box.put("climate", b"c" * 60)
refused = [box.put("meter", b"m" * 60) for n in range(60)].count(False)
seen = drain(box)
answer([refused, [stream for stream, _ in seen].count("meter"), box.dropped])
""")
    assert refused == 0
    assert seen == 60
    assert dropped["climate"] > 0


def test_a_record_larger_than_ram_is_refused_and_counted(outbox: Any) -> None:
    assert outbox("""
box = Outbox(given, 1024, 16384)
answer([box.put("climate", bytes(2000)), box.dropped, drain(box)])
""") == [False, {"climate": 1}, []]


def test_damage_in_a_segment_costs_that_record_and_no_other(outbox: Any) -> None:
    seen, used = outbox("""
box = Outbox(given, 4096, 65536)
for n in range(5):
    box.put("climate", b"reading %d" % n)
box.flush()
name = given + "/drop/1"
with open(name, "rb") as file:
    data = bytearray(file.read())
data[2 * 24 + 18] ^= 1
with open(name, "wb") as file:
    file.write(data)
box = Outbox(given, 4096, 65536)
seen = drain(box)
answer([seen, box.in_flash()])
""")
    assert [payload for _, payload in seen] == ["reading 0", "reading 1", "reading 3", "reading 4"]
    assert used == [0, 1]


def test_noise_in_place_of_a_segment_is_passed_over(outbox: Any) -> None:
    assert outbox("""
box = Outbox(given, 4096, 65536)
box.put("climate", b"before")
box.flush()
drain(box)
with open(given + "/drop/1", "wb") as file:
    file.write(b"\\x00" * 3000)
with open(given + "/drop/stranger", "wb") as file:
    file.write(b"?")
box = Outbox(given, 4096, 65536)
box.put("climate", b"after")
box.flush()
answer([drain(box), box.in_flash()[1]])
""") == [[["climate", "after"]], 1]


ASIDE = """
box = Outbox(given, 1024, 65536)
box.rules["meter"] = REFUSE_NEW
for n in range(60):
    assert box.put("meter" if n % 3 else "climate", b"reading %d" % n)
"""


def readings(found: Any, stream: str) -> list[int]:
    return sorted(int(payload.split()[1]) for name, payload in found if name == stream)


@pytest.mark.parametrize("denied", ["meter", "climate"])
@pytest.mark.parametrize("wait", ["box.flush()", "pass"])
def test_a_stream_that_is_set_aside_comes_later_and_holds_up_no_other(outbox: Any, denied: str, wait: str) -> None:
    meanwhile, later, files = outbox(
        ASIDE
        + f"""
flying = [box.take() for _ in range(8)]
{wait}
box.aside["{denied}"] = True
meanwhile = []
for record in flying:
    if record.stream == "{denied}":
        box.give_back(record)
    else:
        box.done(record)
        meanwhile.append((record.stream, record.payload.decode()))
meanwhile += drain(box)
assert drain(box) == []
assert box.put("{denied}", b"reading 100")
box.put("other", b"reading 101")
meanwhile += drain(box)
box.try_again("{denied}")
answer([meanwhile, drain(box), files()])
"""
    )
    other = "climate" if denied == "meter" else "meter"
    assert readings(meanwhile, other) == [n for n in range(60) if bool(n % 3) == (other == "meter")]
    assert readings(meanwhile, denied) == []
    assert readings(later, denied) == [n for n in range(60) if bool(n % 3) == (denied == "meter")] + [100]
    assert readings(later, other) == []
    assert files == [[], []]


def test_a_stream_that_is_set_aside_again_while_it_is_read_loses_nothing_and_takes_its_turn_again(outbox: Any) -> None:
    found = outbox(
        ASIDE
        + """
box.flush()
box.aside["meter"] = box.aside["climate"] = True
assert drain(box) == []
box.try_again("meter")
first = box.take()
box.aside["meter"] = True
box.give_back(first)
box.try_again("climate")
seen = drain(box)
box.try_again("meter")
answer([seen, drain(box), files()])
"""
    )
    climate, meter, files = found
    assert readings(climate, "climate") == list(range(0, 60, 3))
    assert readings(meter, "meter") == [n for n in range(60) if n % 3]
    assert readings(climate, "meter") == readings(meter, "climate") == []
    assert files == [[], []]


def test_what_is_set_aside_in_flash_and_dropped_for_room_is_counted(outbox: Any) -> None:
    seen, dropped = outbox("""
box = Outbox(given, 1024, 5 * 4096)
box.aside["climate"] = True
for n in range(2000):
    box.put("climate", b"reading %d" % n)
    drain(box)
box.try_again("climate")
answer([drain(box), box.dropped])
""")
    assert len(seen) + dropped["climate"] == 2000
    assert readings(seen, "climate")[-1] == 1999


@pytest.mark.parametrize("rule", ["", 'box.rules["climate"] = REFUSE_NEW'])
def test_a_reading_larger_than_ram_is_refused_with_the_most_it_may_have_and_drops_no_other(outbox: Any, rule: str) -> None:
    lines, found = outbox(
        f"""
import leaf.outbox
lines = []
leaf.outbox.log = lambda subsystem, text: lines.append(text)
box = Outbox(given, 1024, 65536)
{rule}
assert box.put("other", b"kept")
assert not box.put("climate", b"x" * 961)
assert box.put("climate", b"x" * 960)
answer([lines, [len(payload) for _, payload in drain(box)]])
"""
    )
    assert lines == ["climate refused: 961 bytes; outbox_ram takes 960"]
    assert sorted(found) == [4, 960]
