"""The life of an outbox on the virtual board's flash, with the power failing within one flash operation."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board import filesystem
from rootlet.emulator.frozen import frozen_directory

SCRIPT = Path(__file__).parents[1] / "firmware" / "scripts" / "power_cut.py"
BLOCKS, BLOCK = 64, 4096
TABLE, VFS = 0x8000, 0x9000
NEVER = 1_000_000
AT_ONCE = 100  # lives a process


def make_pristine(directory: Path) -> Path:
    """A flash with nothing but a partition table and an empty file system."""
    entry = struct.pack("<HBBII16sI", 0x50AA, 1, 0x83, VFS, BLOCKS * BLOCK, b"vfs", 0)
    flash = directory / "pristine.bin"
    flash.write_bytes(b"\xff" * TABLE + entry.ljust(VFS - TABLE, b"\xff") + filesystem.build({}, BLOCKS * BLOCK))
    return flash


def live(pristine: Path, seed: int, records: int, cuts: Sequence[int]) -> list[dict[str, Any]]:
    """One life a cut; what was promised, what arrived, and what was lost or damaged of it."""
    path = f"{resources.FIRMWARE}:{resources.SHIMS}:{frozen_directory()}:.frozen"
    prelude = "import json, os\ngiven = json.loads(os.getenv('GIVEN'))\ndef answer(v): print('ANSWER' + json.dumps(v))\n"
    given = {"flash": str(pristine.with_name("flash.bin")), "pristine": str(pristine), "seed": seed, "records": records}
    answers: list[dict[str, Any]] = []
    for start in range(0, len(cuts), AT_ONCE):
        more = {"cuts": list(cuts[start : start + AT_ONCE])}
        done = subprocess.run(
            [sys.executable, "-m", "micropython_unix", "-X", "heapsize=64M", "-c", prelude + SCRIPT.read_text()],
            env=os.environ | {"MICROPYPATH": path, "GIVEN": json.dumps(given | more)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        lines = [line[6:] for line in done.stdout.splitlines() if line.startswith("ANSWER")]
        assert lines, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        answers += json.loads(lines[-1])
    return answers


def operations(pristine: Path, seed: int, records: int) -> int:
    """How many writes and erases the life has when nobody cuts it; checks that it loses nothing then."""
    (whole,) = live(pristine, seed, records, [NEVER])
    assert not whole["cut"] and not whole["lost"] and not whole["dropped"], whole
    return NEVER - int(whole["operations_left"])


def problems(answer: dict[str, Any]) -> list[str]:
    """What is wrong after one life and its second boot; empty where all is well."""
    found = []
    if answer["lost"]:
        found.append(f"promised readings lost: {answer['lost'][:5]}")
    if answer["corrupt"]:
        found.append(f"readings damaged: {answer['corrupt'][:2]}")
    if answer["left"] != [0, 0]:
        found.append(f"left over in flash after delivery: {answer['left']}")
    return found
