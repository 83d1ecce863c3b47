"""What an image may keep alive in a chip's heap, and what its builder is told."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.board import heap_budget
from rootlet.board.definition import load_board
from rootlet.board.firmware import Files
from rootlet.board.heap_budget import LEAF, check, estimate
from rootlet.board.memory import CHeap, Memory
from rootlet.cli.board.image import command
from rootlet.errors import BadInput

HEAP = CHeap(150_000, 5_000, 35_000, 5_000, 5_000, 25_000, 10_000, 2_000)
ROOMY, TIGHT = Memory(80_000, {"1.26.1": HEAP}), Memory(60_000, {"1.26.1": HEAP})


def files(application: int | bytes, **services: bytes) -> Files:
    own = {"/app.mpy": bytes(application), "/leaf/device.mpy": bytes(9999), "/config.json": bytes(9999)}
    return Files(own | {f"/leaf/services/{name}.mpy": code for name, code in services.items()}, {})


def test_only_the_applications_code_adds_to_leaf() -> None:
    budget = estimate(ROOMY, files(1000))
    assert (budget.leaf, budget.application, budget.least) == (LEAF, 1450, LEAF + 1000)
    assert budget.fits
    assert budget.warning() is None


def test_a_service_counts_where_the_application_names_it() -> None:
    content = files(b"leaf.services.shadow", __init__=bytes(100), shadow=bytes(1000), jobs=bytes(1000))
    assert estimate(ROOMY, content).application == round(1.45 * (20 + 100 + 1000))


def test_code_that_runs_in_place_takes_less() -> None:
    content = files(1000).vfs
    in_place = {name: code for name, code in content.items() if name.endswith(".mpy")}
    budget = estimate(ROOMY, Files({"/config.json": b""}, in_place))
    assert (budget.leaf, budget.application) == (round(0.6 * LEAF), round(1.45 * 600))


def test_the_c_heap_that_is_left_depends_on_whether_the_gc_heap_doubles() -> None:
    assert estimate(ROOMY, files(0), "1.26.1").spare == 65_000
    doubled = estimate(TIGHT, files(20_000), "1.26.1")
    assert doubled.spare == 5_000
    assert not doubled.fits
    assert "TLS then has 5000 bytes to spare" in str(doubled.warning())


def test_a_release_that_nobody_looked_at_has_the_worst_figures() -> None:
    better = CHeap(160_000, *list(vars(HEAP).values())[1:])
    memory = Memory(80_000, {"1.23.0": better, "1.26.1": HEAP})
    assert estimate(memory, files(0), "1.29.0") == estimate(memory, files(0))
    assert estimate(memory, files(0), "1.29.0").spare == 65_000
    assert estimate(memory, files(0), "1.29.0").release == ""
    assert estimate(memory, files(0), "1.23.0").spare == 75_000


def test_an_application_that_may_be_too_large_is_built_with_a_warning() -> None:
    size = 120_000 - LEAF - 100  # within the doubled heap by its bytecode alone
    budget = estimate(TIGHT, files(size))
    check(budget)
    assert "will most likely never connect" in str(budget.warning())


def test_an_application_that_is_too_large_for_certain_is_refused() -> None:
    with pytest.raises(BadInput, match=r"keeps at least \d+ bytes alive.* TLS lacks 115000 bytes"):
        check(estimate(TIGHT, files(120_001 - LEAF)))


def test_a_board_without_figures_of_its_c_heap_has_the_bound_of_its_gc_heap() -> None:
    budget = estimate(Memory(64_000, {}), files(30_000))
    check(budget)
    assert budget.spare is None
    assert "nobody has looked" in str(budget.warning())


def test_image_build_prints_the_budget(tmp_path: Path) -> None:
    config, app = tmp_path / "config.json", tmp_path / "app.py"
    config.write_text('{"endpoint": "a1b2-ats.iot.eu-west-1.amazonaws.com"}')
    app.write_text("def measure():\n    return 21\n")
    arguments = ["build", "--config", str(config), "--app", str(app), "-o", str(tmp_path / "flash.bin")]
    shown = CliRunner().invoke(command, arguments)
    assert f"of {load_board('esp32_generic').memory.gc_area} bytes in the GC heap's first area" in shown.output  # type: ignore[union-attr]
    facts = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)["memory"]
    assert facts["live"] == facts["leaf"] + facts["application"]
    assert facts["leaf"] == heap_budget.LEAF
