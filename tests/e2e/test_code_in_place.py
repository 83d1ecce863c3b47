"""Code in a partition ``romfs`` runs where it lies, on the virtual board as on a chip whose MicroPython can do that."""

from collections.abc import Callable
from pathlib import Path

from rootlet.board import inspect_image
from support.device import BuiltDevice

MakeDevice = Callable[[str], BuiltDevice]

PROBE = """
import gc
import sys
import leaf
gc.collect()
print("probe", sys.path, leaf.__file__, gc.mem_alloc())
"""


def test_an_image_with_romfs_connects_and_reads_its_data_there(registered: MakeDevice) -> None:
    device = registered("in-place-1")
    device.in_place = "yes"
    device.build()
    found = inspect_image.inspect(device.flash.read_bytes())
    assert found.romfs and {"/app.mpy", "/leaf/device.mpy", "/leaf-data/faults.txt"} <= found.romfs.keys()
    assert not [name for name in found.files if name.endswith(".mpy") or name.startswith("/leaf")]
    with device.boot() as board:
        board.wait_for("first puback")


def test_a_hint_is_found_in_romfs(registered: MakeDevice) -> None:
    device = registered("in-place-2")
    device.in_place = "yes"
    device.resolve = {}
    with device.boot() as board:
        assert board.wait_for(r"fault: dns: .+; .+")


def test_code_in_place_leaves_more_of_the_heap_and_lies_before_lib(registered: MakeDevice, tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    used = {}
    for in_place in ("no", "yes"):
        device = registered("in-place-3")
        device.application = probe
        device.in_place = in_place
        device.build()
        with device.boot() as board:
            used[in_place] = int(board.wait_for(r"^probe .* (\d+)$").group(1))
            line = next(line for line in board.lines if line.startswith("probe"))
            if in_place == "yes":
                assert "['', '.frozen', '/rom', '/rom/lib', '/lib'] /rom/leaf/__init__.mpy" in line
    assert used["yes"] < used["no"] - 4096, used  # of the few modules that are in RAM all the time
