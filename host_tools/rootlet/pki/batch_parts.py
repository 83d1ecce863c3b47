"""The parts of a batch: files of a few hundred devices, one a line: ``{"thing", "certificate", "key"}``, DER in base64."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki import keys
from rootlet.pki.certificates import UNREADABLE
from rootlet.pki.identity import DeviceIdentity

Line = Mapping[str, str]
_FIELDS = ("thing", "certificate", "key")


def place(directory: Path, number: int) -> Path:
    """The file of a part."""
    return directory / f"part-{number:05}.jsonl"


def is_part(file: Path) -> bool:
    """Whether a file has the name of a batch's part."""
    return file.match("part-*.jsonl")


def survivors(path: Path, things: Iterable[str]) -> tuple[dict[str, Line], bool]:
    """The whole lines of a part that are about ``things``, by thing, and whether the part is as it was written.

    A disk that was full or a copy that broke off leaves less than a run wrote; there may be no file at all.
    """
    if not path.exists():
        return {}, False
    wanted, found = set(things), {}
    data = read_input(path, "part of a batch")
    intact = data.endswith(b"\n")
    for text in data.splitlines():
        line = _parsed(text)
        if line is None or line["thing"] not in wanted or line["thing"] in found:
            intact = False
        else:
            found[line["thing"]] = line
    return found, intact and len(found) == len(wanted)


def lines(path: Path, count: int) -> Iterator[Line]:
    """The ``count`` lines of a part. Raises BadInput where there are not so many, or one is damaged."""
    texts = read_input(path, "part of a batch").splitlines()
    if len(texts) != count:
        raise _damaged(path, f"it has {len(texts)} devices of {count}")
    for text in texts:
        line = _parsed(text)
        if line is None:
            raise _damaged(path, "a line in it is not whole")
        yield line


def certificates_in(path: Path, count: int | None) -> Iterator[x509.Certificate]:
    """The certificates in a part of ``count`` devices, or of as many as it has. The keys are not read. Raises BadInput."""
    there = len(read_input(path, "part of a batch").splitlines())
    for line in lines(path, there if count is None else count):
        yield _certificate(path, line)


def identity(path: Path, line: Line, issuers: tuple[x509.Certificate, ...]) -> DeviceIdentity:
    """The device of a line in ``path``. Raises BadInput where it is damaged."""
    certificate = _certificate(path, line)
    try:
        key = load_der_private_key(base64.b64decode(line["key"], validate=True), None)
    except (ValueError, TypeError):
        raise _damaged(path, f"the key of {line['thing']} cannot be read") from None
    assert isinstance(key, keys.KINDS)
    return DeviceIdentity(line["thing"], certificate, key, issuers)


def _certificate(path: Path, line: Line) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(base64.b64decode(line["certificate"], validate=True))
    except UNREADABLE:
        raise _damaged(path, f"the certificate of {line['thing']} cannot be read") from None


def _parsed(text: bytes) -> Line | None:
    try:
        line: Any = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(line, dict) and all(isinstance(line.get(field), str) and line[field] for field in _FIELDS)
    return line if whole else None


def _damaged(path: Path, why: str) -> BadInput:
    hint = "restore it from a backup; or repeat the command that began the batch: it issues what is missing anew"
    return BadInput(f"{path} is damaged: {why}", hint=hint)
