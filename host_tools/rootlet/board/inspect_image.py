"""What is in a flash image, a dump of any board, a MicroPython .bin or a credential partition; and how two differ."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from rootlet.board import filesystem, micropython, partitions, romfs, secure_cert
from rootlet.board.config import redact
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input
from rootlet.pki.certificates import UNREADABLE, key_name
from rootlet.pki.identity import DeviceIdentity, certificate_id
from rootlet.words import are, number_of

T = TypeVar("T")
TABLE = micropython.TABLE_OFFSET
NOT_HERE = "not in this file"
FILE_SYSTEMS = ("vfs", partitions.ROMFS)
NO_TYPE = -1
"""The type of a region that is not a partition."""


@dataclass(frozen=True)
class Contents:
    """What was found; where something is missing or damaged, its ``…problem`` says why."""

    partitions: tuple[Partition, ...]
    vfs: Partition | None
    files: Mapping[str, bytes] = field(repr=False)
    identity: DeviceIdentity | None
    identity_problem: str | None
    micropython: micropython.MicroPython | None
    micropython_problem: str | None
    vfs_problem: str | None
    romfs: Mapping[str, bytes] | None = field(default=None, repr=False)
    """Files by path without ``/rom``; None where there is no such partition."""
    romfs_problem: str | None = None

    def json_file(self, name: str) -> dict[str, Any]:
        """A JSON file of ours; empty where there is none or it is not a JSON object, as in somebody else's dump."""
        try:
            value = json.loads(self.files.get(name, b"{}"))
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Difference:
    """One thing in which two images differ."""

    where: str
    what: str


def read(path: Path) -> bytes:
    """Read an image file. Raises BadInput."""
    return read_input(path, "flash image")


def inspect(flash: bytes) -> Contents:
    """Look into ``flash``. What it lacks is listed in ``problems``. Raises BadInput where it has no partition table."""
    if flash.startswith(secure_cert.MAGIC_BYTES):
        return _partition_alone(flash)
    flash, found, problem = _micropython(flash)
    table = partitions.decode(flash[TABLE : TABLE + partitions.TABLE_SIZE])
    identity, identity_problem = _identity(flash, table)
    vfs, files, vfs_problem = _files(flash, table)
    rom, rom_problem = _romfs(flash, table)
    return Contents(table, vfs, files, identity, identity_problem, found, problem, vfs_problem, rom, rom_problem)


def facts(contents: Contents) -> dict[str, Any]:
    """Everything that can be shown, for a tree or as JSON. Never a private key, a password or a file's content."""
    found = contents.micropython
    vfs = (contents.vfs,) if contents.vfs and contents.vfs not in contents.partitions else ()
    build = contents.json_file("/build.json")
    return {
        "partitions": [asdict(partition) for partition in (*contents.partitions, *vfs)],
        "micropython": None
        if found is None
        else {"version": found.text, "machine": found.machine, "chip": found.chip, "bytes": found.application.size}
        | {"build": found.build, "psram": found.psram, "flash_bytes": found.flash_size}
        | {"romfs": found.romfs, "leaf_frozen": found.leaf_frozen},
        "micropython_problem": contents.micropython_problem,
        "identity": describe(contents.identity.certificate, contents.identity.issuers) if contents.identity else None,
        "identity_problem": contents.identity_problem,
        "build": build,
        "config": redact(contents.json_file("/config.json")),
        "roots": {
            name.removeprefix("/roots/"): _root(data) for name, data in contents.files.items() if name.startswith("/roots/")
        },
        "files": {name: len(data) for name, data in sorted(contents.files.items())},
        "vfs_problem": contents.vfs_problem,
        "romfs": None if contents.romfs is None else {name: len(data) for name, data in contents.romfs.items()},
        "romfs_problem": contents.romfs_problem,
    }


def describe(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> dict[str, Any]:
    """The public half of an identity. The thing's name is None where the certificate has none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return {
        "thing": str(names[0].value) if names else None,
        "certificate_id": certificate_id(certificate),
        "key": key_name(certificate.public_key()),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "issuers": [issuer.subject.rfc4514_string() for issuer in issuers],
    }


def diff(first: bytes, second: bytes) -> list[Difference]:
    """In what two images differ: partition by partition, and file by file in file systems. Empty only for equal bytes."""
    found = list(_differences(inspect(first), inspect(second), _micropython(first)[0], _micropython(second)[0]))
    if not found and first != second:
        found = [Difference("file", "the same flash, but one file begins at its bootloader")]
    return found


def _differences(a: Contents, b: Contents, flash_a: bytes, flash_b: bytes) -> Iterator[Difference]:
    if len(flash_a) != len(flash_b):
        yield Difference("flash", f"{len(flash_a)} bytes, {len(flash_b)} bytes")
    if a.partitions != b.partitions:
        for before, after in _paired({p.label: p for p in a.partitions}, {p.label: p for p in b.partitions}):
            yield Difference("partition table", f"{_place(before)} → {_place(after)}")
    places = list(_regions(a, b, min(len(flash_a), len(flash_b))))
    for region in places:
        count = _differing_bytes(flash_a[region.offset : region.end], flash_b[region.offset : region.end])
        if count:
            yield from _how(region, a, b, count)
    for label in FILE_SYSTEMS:
        if not any(region.label == label for region in places):  # they lie in different places
            yield from _file_differences(label, a, b)


def _regions(a: Contents, b: Contents, size: int) -> Iterator[Partition]:
    """``size`` bytes of flash without gaps: the partitions of both images, where they agree, and what lies between."""
    in_both = [partition for partition in (*a.partitions, a.vfs) if partition in (*b.partitions, b.vfs) and partition]
    table = Partition("partition table", NO_TYPE, 0, TABLE, partitions.TABLE_SIZE)
    alone = Partition(partitions.SECURE_CERT, NO_TYPE, 0, 0, size)
    named = [*dict.fromkeys(in_both), table] if a.partitions or b.partitions else [alone]
    at = 0
    for partition in sorted(named, key=lambda partition: partition.offset):
        if partition.offset > at:
            name = f"0x{at:06x}-0x{min(partition.offset, size):06x}" if at else "bootloader"
            yield Partition(name, NO_TYPE, 0, at, min(partition.offset, size) - at)
        yield partition
        at = max(at, partition.end)
    if at < size:
        yield Partition(f"0x{at:06x}-0x{size:06x}", NO_TYPE, 0, at, size - at)


def _differing_bytes(a: bytes, b: bytes) -> int:
    return 0 if a == b else sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))


def _how(region: Partition, a: Contents, b: Contents, count: int) -> Iterator[Difference]:
    """What to say of a region of which ``count`` bytes differ."""
    bytes_differ = f"{number_of(count, 'byte')} {are(count, 'differs', 'differ')}"
    if region.label == partitions.SECURE_CERT:
        names = [c.identity.thing if c.identity else f"({c.identity_problem})" for c in (a, b)]
        yield Difference(region.label, " → ".join(names) if names[0] != names[1] else f"{names[0]}: {bytes_differ}")
    elif region.label in FILE_SYSTEMS:
        problem = a.vfs_problem if region.label == "vfs" else a.romfs_problem
        alike = f"cannot be read ({problem}): {bytes_differ}" if problem else f"the same files, but {bytes_differ}"
        yield from [*_file_differences(region.label, a, b)] or [Difference(region.label, alike)]
    elif region.type == partitions.TYPES["app"]:
        names = [(c.micropython and c.micropython.text) or "(no MicroPython)" for c in (a, b)]
        yield Difference(region.label, " → ".join(names) if names[0] != names[1] else f"{names[0]}: {bytes_differ}")
    elif region.label != "partition table" or a.partitions == b.partitions:
        yield Difference(region.label, bytes_differ)


def _file_differences(label: str, a: Contents, b: Contents) -> Iterator[Difference]:
    if label == "vfs":
        problems, files = (a.vfs_problem, b.vfs_problem), (a.files, b.files)
    else:
        problems, files = (a.romfs_problem, b.romfs_problem), (a.romfs or {}, b.romfs or {})
    if problems[0] != problems[1]:
        yield Difference(label, " → ".join(problem or "readable" for problem in problems))
    yield from _by_file(label, *files)


def _by_file(where: str, a: Mapping[str, bytes], b: Mapping[str, bytes]) -> Iterator[Difference]:
    for before, after in _paired(*({name: (name, data) for name, data in files.items()} for files in (a, b))):
        name = (before or after or ("",))[0]
        sizes = " → ".join(f"{len(entry[1])} bytes" if entry else "absent" for entry in (before, after))
        yield Difference(f"{where}:{name}", sizes)


def _paired(a: Mapping[str, T], b: Mapping[str, T]) -> Iterator[tuple[T | None, T | None]]:
    for key in sorted(a.keys() | b.keys()):
        if a.get(key) != b.get(key):
            yield a.get(key), b.get(key)


def _place(partition: Partition | None) -> str:
    return f"{partition.label} 0x{partition.offset:x}+0x{partition.size:x}" if partition else "absent"


def _micropython(flash: bytes) -> tuple[bytes, micropython.MicroPython | None, str | None]:
    at = micropython.find(flash)
    if at is None:
        return flash, None, "none"
    try:
        found = micropython.read(flash[at:])
    except BadInput as error:
        return flash, None, error.what
    if at != found.offset:  # a .bin: the flash from the bootloader on
        flash = b"\xff" * found.offset + flash
    return flash, found, "; ".join(found.problems) or None


def _partition_alone(partition: bytes) -> Contents:
    try:
        identity, problem = secure_cert.to_identity(partition), None
    except RootletError as error:
        identity, problem = None, error.what
    return Contents((), None, {}, identity, problem, None, NOT_HERE, NOT_HERE)


def _identity(flash: bytes, table: Sequence[Partition]) -> tuple[DeviceIdentity | None, str | None]:
    try:
        place = partitions.find(table, partitions.SECURE_CERT)
        return secure_cert.to_identity(flash[place.offset : place.end]), None
    except RootletError as error:
        return None, error.what


def _files(flash: bytes, table: Sequence[Partition]) -> tuple[Partition | None, Mapping[str, bytes], str | None]:
    vfs = partitions.vfs(table, len(flash))
    if vfs.size < filesystem.BLOCK or vfs.end > len(flash):
        return None, {}, NOT_HERE
    try:
        return vfs, filesystem.read(flash[vfs.offset : vfs.end]), None
    except BadInput as error:
        return vfs, {}, error.what


def _romfs(flash: bytes, table: Sequence[Partition]) -> tuple[Mapping[str, bytes] | None, str | None]:
    for place in table:
        if place.label == partitions.ROMFS:
            content = flash[place.offset : place.end]
            if not content.strip(b"\xff"):
                return {}, None if content else NOT_HERE
            try:
                return romfs.read(content), None
            except BadInput as error:
                return {}, error.what
    return None, None


def _root(der: bytes) -> dict[str, Any]:
    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        root = x509.load_der_x509_certificate(der)
        return {"subject": root.subject.rfc4514_string(), "not_after": root.not_valid_after_utc, "sha256": fingerprint}
    except UNREADABLE:  # a serial number of 0, as Starfield's root has, is refused by newer parsers
        return {"subject": None, "not_after": None, "sha256": fingerprint}
