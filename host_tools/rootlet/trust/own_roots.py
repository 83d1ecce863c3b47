"""Roots of a project's own, beside Amazon's: a private CA's, or a partner's. Each is pinned by the SHA-256 of its DER.

They stand in the project's ``roots.toml``, or on the command line. A sandbox's root is none of them: an image that trusts
one says so, and is for tests only.
"""

import datetime as dt
import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509

from rootlet.errors import BadInput
from rootlet.files import read_input, write_atomic
from rootlet.trust.loading import unloadable
from rootlet.trust.model import Certificate, parse
from rootlet.trust.roots import Manifest, PinnedRoot, load_manifest
from rootlet.words import are, number_of

PROJECT_FILE = "roots.toml"
SANDBOX_NAME = "Rootlet Sandbox Root CA"
"""The common name of every sandbox's root."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")  # of a file on the device
_PIN = re.compile("[0-9a-f]{64}")
_KEYS = {"name", "file", "sha256"}
_HEADING = "# The roots of this project's own. Each image trusts them: rootlet roots add | list | check"


def with_own(project: Path | None, more: Iterable[PinnedRoot] = ()) -> Manifest:
    """Amazon's pinned roots, those in the file ``project`` where there is one, and ``more``.

    Raises BadInput for two roots of one name, or one root under two names.
    """
    amazon = load_manifest().roots
    roots = [*amazon, *(load(project) if project else ()), *more]
    for at, root in enumerate(roots):
        for other in roots[:at]:
            if other.name == root.name:
                raise BadInput(
                    f"two roots have the name {root.name}", hint="give yours another: --name, or name = in the file"
                )
            if other.sha256 == root.sha256:
                hint = f"leave yours out: --root {other.name}" if other in amazon else "leave one of them out"
                raise BadInput(f"the roots {other.name} and {root.name} are one certificate", hint=hint)
    return Manifest(tuple(roots))


def load(project: Path) -> tuple[PinnedRoot, ...]:
    """The roots that a project's file pins, each checked as ``pin`` does. Raises BadInput."""
    try:
        document = tomllib.loads(read_input(project, "the project's roots").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{project} is not valid TOML: {error}", hint="correct it, or pin anew: rootlet roots add") from None
    entries = document.get("root")
    if set(document) - {"root"} or not isinstance(entries, list):
        raise BadInput(f"{project} has no list of [[root]] alone", hint="pin a root: rootlet roots add FILE --pin SHA256")
    return tuple(_entry(project, number, entry) for number, entry in enumerate(entries, 1))


def pin(path: Path, sha256: str, name: str | None = None) -> PinnedRoot:
    """The root in the file ``path``, which must have this pin (hexadecimal, with colons or without).

    Raises BadInput where it has another, and for what no device can use as a root: no self-signed CA certificate, an expired
    one, one that Mbed TLS cannot load, a sandbox's.
    """
    wanted = sha256.replace(":", "").strip().lower()
    if not _PIN.fullmatch(wanted):
        raise BadInput(f"{sha256!r} is not a pin", hint="give the SHA-256 of the certificate's DER: 64 hexadecimal digits")
    certificates = parse(read_input(path, "root certificate"), str(path))
    if len(certificates) != 1:
        raise BadInput(f"{path} holds {number_of(len(certificates), 'certificate')}", hint="give the root alone")
    (root,) = certificates
    if root.fingerprint != wanted:
        raise BadInput(
            f"{path} is not the pinned root: its SHA-256 is {root.fingerprint}, the pin says {wanted}",
            hint="get the root again, and its pin from who runs the CA, on another way than the file",
        )
    _check(path, root)
    chosen = name or re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:32]
    if not _NAME.fullmatch(chosen) or chosen == "sandbox":
        raise BadInput(f"{chosen!r} is not a root's name", hint="use 1 to 32 small letters, digits and hyphens: --name")
    return PinnedRoot(chosen, path, wanted, root.key, root.not_after, root.ski, default=True, own=True)


def add(project: Path, root: PinnedRoot) -> bool:
    """Pin ``root`` in the project's file. False where it stands there already. Raises BadInput for another of its name."""
    there = load(project) if project.exists() else ()
    if any((other.name, other.sha256) == (root.name, root.sha256) for other in there):
        return False
    with_own(project if there else None, [root])
    before = project.read_text() if project.exists() else _HEADING
    file = os.path.relpath(root.path.resolve(), project.resolve().parent)
    values = {"name": root.name, "file": file, "sha256": root.sha256}
    # A string of JSON in ASCII is one of TOML.
    lines = [before.rstrip(), "", "[[root]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    write_atomic(project, "\n".join(lines).encode())
    return True


def chosen(values: Sequence[str], pins: Sequence[str], project: Path | None) -> tuple[PinnedRoot, ...]:
    """The roots of an image: Amazon's default ones, the project's, and ``values``, each a name or a file.

    The files have their ``pins``, in their order. Raises BadInput.
    """
    known = {root.name for root in with_own(project).roots}
    files = [value for value in values if value not in known]
    for value in files:
        if not Path(value).exists():
            raise BadInput(f"unknown root {value!r}: neither a name nor a file", hint=f"choose from: {', '.join(known)}")
    if len(files) != len(pins):
        given = f"{number_of(len(pins), 'pin')} {are(len(pins))} given"
        raise BadInput(
            f"{number_of(len(files), 'root')} {are(len(files))} of a file, and {given}",
            hint="give each --root FILE its --pin SHA256, in the same order; or pin it once: rootlet roots add",
        )
    own = [pin(Path(value), sha256) for value, sha256 in zip(files, pins, strict=True)]
    manifest = with_own(project, own)
    return manifest.embedded(value for value in values if value in known)


def _entry(project: Path, number: int, entry: Any) -> PinnedRoot:
    where = f"{project}, root {number}"
    if not isinstance(entry, dict) or set(entry) != _KEYS or not all(isinstance(value, str) for value in entry.values()):
        raise BadInput(f"{where} does not have exactly name, file and sha256", hint="pin it: rootlet roots add")
    try:
        return pin(project.parent / entry["file"], entry["sha256"], entry["name"])
    except BadInput as error:
        raise BadInput(f"{where}: {error.what}", hint=error.hint) from None


def _check(path: Path, root: Certificate) -> None:
    if root.common_name == SANDBOX_NAME:
        raise BadInput(f"{path} is a sandbox's root", hint="for demos and tests give it as --sandbox-root")
    if not root.self_issued or not root.signed(root):
        raise BadInput(f"{path} is not a root: {root.issuer} issued it", hint="give the self-signed root above it")
    if not root.is_authority and root.parsed.version != x509.Version.v1:
        raise BadInput(f"{path} is not the certificate of a CA", hint="give the root of the CA, not a server's certificate")
    if root.not_after < dt.datetime.now(dt.UTC):
        raise BadInput(f"{path} expired on {root.not_after:%Y-%m-%d}", hint="get the root that replaces it")
    if why := unloadable(root):
        raise BadInput(f"no device can load {path}: {why}", hint="use a root with an EC (P-256, P-384) or RSA key")
