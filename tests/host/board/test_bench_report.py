"""Reports of boards: read out of a log, and collected on docs/chips.md."""

import json
from pathlib import Path
from typing import Any

import pytest
from rootlet.board import bench_report
from rootlet.board.bench_report import Boot

DOCS = Path(__file__).parents[3] / "docs"
# As a chip's console shows it: the ROM's words, a first attempt that failed, and both forms of the heap line.
LOG = """\
ets Jul 29 2019 12:21:46
99999 mqtt: first puback
3600 identity: thing sensor-1, certificate 0a1b, issued by Fleet CA
3650 roots: amazon-root-ca-1
5500 wifi: joined plant, address 192.168.1.7
5600 clock: set from time.aws.com
5700 tcp: connected
9000 fault: tls-failed: the handshake with a1b2.example failed (113); check the network
9100 backoff: 500 ms before attempt 2
9700 tcp: connected
10900 tls: trusted Amazon Root CA 3 < Amazon ECDSA 256 M04 < *.iot.eu-west-1.amazonaws.com
10950 heap: {heap}
10960 mqtt: connected as sensor-1, session new
11200 mqtt: first puback
"""
HEAPS = [
    "64700 bytes used, 55500 free; C heap 11900 free, 4300 lowest, 6700 largest block",
    "64700 bytes used, 55500 free; C heap 11900 free, largest block 6700, lowest 4300",
]
ASKED = {
    "platform": "esp32", "machine": "Generic ESP32 module with ESP32", "micropython": "MicroPython v1.26.1 on 2025-09-11",
    "board": "esp32_generic", "flash_bytes": 4 << 20, "leaf": "0.1.0", "code": "vfs", "leaf_frozen": False,
    "c_heap": {"total": 150000, "free": 12000, "largest": 6700, "lowest": 4300}, "gc_largest_free": 20000,
    "flash_operations": None, "reset_cause": "pwron",
}  # fmt: skip


def read(log: str) -> Boot:
    boot = Boot()
    for line in log.splitlines():
        boot.take(line, 4.1)
    return boot


@pytest.mark.parametrize("heap", HEAPS)
def test_a_log_gives_the_rungs_of_the_last_attempt_and_the_heaps(heap: str) -> None:
    boot = read(LOG.format(heap=heap))
    assert boot.connected and boot.boots == 1 and boot.before_leaf == 500
    assert boot.rungs == {
        "identity": 3600, "wifi": 5500, "clock": 5600, "tcp": 9700, "tls": 10900, "mqtt": 10960, "puback": 11200,
    }  # fmt: skip
    assert boot.handshake == 1200 and dict(boot.faults) == {"tls-failed": 1}
    assert boot.gc_heap == {"used": 64700, "free": 55500}
    assert boot.c_heap == {"free": 11900, "lowest": 4300, "largest": 6700}


def test_a_heap_line_without_a_c_heap_and_a_board_that_restarts_are_read() -> None:
    boot = read("10 identity: thing a, certificate b, issued by c\n" + LOG.format(heap="64700 bytes used, 55500 free"))
    assert boot.boots == 2 and boot.gc_heap and not boot.c_heap and boot.rungs["identity"] == 3600


def report(**changes: Any) -> dict[str, Any]:
    runs = [bench_report.run(read(LOG.format(heap=HEAPS[0])), ASKED)] * 3
    return bench_report.report(runs, ASKED, "esp32", "line") | changes


def test_a_report_has_medians_and_passes_its_own_check() -> None:
    made = json.loads(json.dumps(report()))
    assert not bench_report.problems(made)
    assert (made["median"]["rungs_ms.puback"], made["median"]["c_heap.lowest"]) == (11200, 4300)
    text = json.dumps(made)
    assert not [
        word for word in ("sensor-1", "0a1b", "Fleet CA", "plant", "192.168.1.7", "a1b2", "amazonaws") if word in text
    ]


@pytest.mark.parametrize("more", [{"thing": "sensor-1"}, {"runs": [{"log": "…"}]}, {"format": 2}, {"machine": 7}])
def test_a_file_with_more_than_a_report_is_not_published(more: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "board.json").write_text(json.dumps(report(**more)))
    with pytest.raises(ValueError, match=r"board\.json: "):
        bench_report.page("<!-- reports -->\n<!-- end of reports -->", tmp_path)


def test_reports_become_rows_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(report()))
    never = report()
    never["runs"] = [{**never["runs"][0], "connected": False}]
    never["median"] = {}
    (tmp_path / "two.json").write_text(json.dumps(never))
    page = bench_report.page("# A\n<!-- reports -->\nNo report yet.\n<!-- end of reports -->\nB\n", tmp_path)
    rows = [line for line in page.splitlines() if line.startswith("| Generic")]
    assert "| 3 of 3 connected | 11,200 | 1,200 | 64,700 / 55,500 | 4,300 |" in rows[0]
    assert "| 0 of 1 connected | **never** |" in rows[1]
    assert page.startswith("# A\n") and page.endswith("\nB\n") and "No report yet" not in page


def test_the_page_shows_the_reports_in_its_folder() -> None:
    text = (DOCS / "chips.md").read_text()
    assert bench_report.page(text, DOCS / "chips") == text, "run tools/chips.py"
