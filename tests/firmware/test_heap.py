"""What leaf takes of a chip's heap, on a 32-bit MicroPython: it must never outgrow the first area of an ESP32's GC heap.

The heap would double, out of the memory that Wi-Fi and TLS need.
"""

from collections.abc import Sequence

import pytest
from rootlet import resources
from support import chip32
from support.chip32 import account, board, life, port

try:
    port.path()
    MISSING = ""
except port.UnavailableError as error:
    MISSING = str(error)

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no 32-bit MicroPython: {MISSING}")

QUALIFICATION = resources.FIRMWARE / "apps" / "qualification"  # shadow, jobs and commands
LADDER = {
    "radio",
    "wifi",
    "clock",
    "tls-socket",
    "handshake",
    "mqtt",
    "serving",
    "command",
    "reconnected",
    "offline",
    "backlog-delivered",
}


@pytest.fixture(scope="module")
def sample() -> Sequence[account.Mark]:
    return life.once(board.SAMPLE)


def test_an_application_leaves_the_network_its_memory_once_it_is_imported(sample: Sequence[account.Mark]) -> None:
    assert account.at(sample, "application").alive <= 40_000


def test_a_device_keeps_to_the_first_area_of_the_heap_at_every_rung(sample: Sequence[account.Mark]) -> None:
    assert {mark.event for mark in sample} >= LADDER
    assert max(mark.alive for mark in sample) <= 50_000


def test_shadow_jobs_and_commands_keep_to_it_too() -> None:
    found = life.once(QUALIFICATION)
    assert {mark.event for mark in found} >= LADDER
    assert max(mark.alive for mark in found) <= 54_000


def test_hours_of_traffic_and_reconnects_leave_the_heap_in_one_piece() -> None:
    """A slice of the day that ``make heap`` has. The area has a chip's size, so what does not fit ends the run."""
    found = life.day(board.SAMPLE, hours=1, reconnects=20)
    assert found.connections == 21
    assert found.readings >= 700
    assert found.faults == {"connection-lost"}
    assert min(sample.largest for sample in found.samples) >= 4096


def test_an_application_with_services_keeps_to_it_through_reconnects_and_outages() -> None:
    found = life.day(QUALIFICATION, hours=1, reconnects=20, outage=200)
    assert found.connections == 21
    assert found.faults <= {"connection-lost", "taken-over", "dns"}
    assert min(sample.largest for sample in found.samples) >= 768


def test_each_module_is_weighed_on_its_own() -> None:
    found = {module.name: module for module in account.modules(["leaf.mqtt", "leaf.services.jobs"])}
    assert {"leaf.packets", "leaf.mqtt", "leaf.services.jobs"} <= set(found)
    assert all(module.total >= module.code > 0 for module in found.values())


def test_the_pools_of_names_are_counted_as_a_chip_has_them() -> None:
    assert account.pools(0) == 0
    assert account.pools(20) == 176  # 24 bytes and 20 entries of 7, in blocks of 16
    assert account.pools(21) == 176 + 304
    assert chip32.FIRST_AREA == 56_736
