"""A MicroPython of one's own with ``leaf`` frozen: what firmware/manifest.py freezes, and what an image makes of it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rootlet import resources
from rootlet.board import firmware, image, inspect_image
from rootlet.board.definition import Board
from rootlet.board.repl import Repl
from rootlet.errors import BadInput
from support.flashkit import BUILT, CONFIG, rehash
from support.serial_board import SerialBoard

RECORDER = """
import json, os, sys
calls = []
class Options:
    def defaults(self, **kwargs):
        self.__dict__.update(kwargs)
def record(name):
    return lambda *a, **k: calls.append([name, *a, k.get("base_path") and os.path.abspath(k["base_path"])])
names = {name: record(name) for name in ("include", "package", "module")} | {"options": Options()}
exec(open("manifest.py").read(), names)
digest = open(os.path.join(calls[-1][-1], "leaf_source.py")).read()
print(json.dumps([calls, digest]))
"""


def manifest(directory: Path) -> tuple[list[Any], str, Path]:
    """What MicroPython's manifestfile.py is asked to freeze: it executes the file in its directory."""
    done = subprocess.run([sys.executable, "-c", RECORDER], cwd=directory, capture_output=True, text=True, check=True)
    calls, module = json.loads(done.stdout)
    return calls, module, Path(calls[-1][-1])


def test_the_manifest_freezes_leaf_beside_all_that_the_official_build_has() -> None:
    calls, module, generated = manifest(resources.FIRMWARE)
    assert calls[:2] == [["include", "$(PORT_DIR)/boards/manifest.py", None], ["package", "leaf", str(resources.FIRMWARE)]]
    assert calls[2][:2] == ["module", "leaf_source.py"] and len(calls) == 3
    assert module == f'DIGEST = "leaf-source-{firmware.leaf_source()}"\n'
    assert not generated.exists()


def test_any_change_of_leaf_changes_its_digest(tmp_path: Path) -> None:
    shutil.copytree(resources.FIRMWARE, tmp_path / "firmware")
    with (tmp_path / "firmware" / "leaf" / "services" / "jobs.py").open("a") as source:
        source.write("\n")
    assert firmware.leaf_source() not in manifest(tmp_path / "firmware")[1]


def frozen(build: bytes, digest: str) -> bytes:
    """A build that says of itself what one with a frozen leaf does."""
    changed = bytearray(build)
    for text in (b"leaf/device.py\0", f"leaf-source-{digest}\0".encode()):
        place = re.compile(rb"[ -~]{%d,}\0" % len(text)).search(changed, 0x10000)
        assert place is not None
        changed[place.end() - len(text) : place.end()] = text
    return rehash(changed)


def test_an_image_for_a_frozen_leaf_has_none_beside_it(release: bytes, board: Board, application: Path) -> None:
    build = frozen(release, firmware.leaf_source())
    made = image.build(board, CONFIG, application, [], built=BUILT, micropython_bin=build)
    found = inspect_image.inspect(made.flash)
    assert not [name for name in found.files if name.startswith("/leaf/")]
    assert {"/main.py", "/app.mpy", "/leaf-data/faults.txt"} <= found.files.keys()
    assert found.json_file("/build.json")["leaf_frozen"] and "leaf is frozen in MicroPython" in made.code


def test_another_frozen_leaf_than_this_one_is_refused(release: bytes, board: Board, application: Path) -> None:
    with pytest.raises(BadInput, match="frozen is not the one of this rootlet") as refusal:
        image.build(board, CONFIG, application, [], micropython_bin=frozen(release, "0" * 64))
    assert "FROZEN_MANIFEST" in refusal.value.hint


def test_a_push_leaves_a_frozen_leaf_alone(release: bytes, board: Board, tmp_path: Path) -> None:
    build = frozen(release, firmware.leaf_source())
    flash = tmp_path / "flash.bin"
    flash.write_bytes(image.build(board, CONFIG, write_application(tmp_path, "1"), [], micropython_bin=build).flash)
    with SerialBoard(flash) as line, Repl(line.port) as port:  # the Unix port has no leaf, and so stays at its prompt
        done = port.push(firmware.code(write_application(tmp_path, "2"), None))
    assert done.sent == ("/app.mpy",)
    assert not [name for name in inspect_image.inspect(flash.read_bytes()).files if name.startswith("/leaf/")]


def write_application(directory: Path, text: str) -> Path:
    source = directory / "app.py"
    source.write_text(f"print({text!r})\n")
    return source
