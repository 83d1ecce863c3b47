"""Flash images: everything that a board's flash holds, from offset 0."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet import __version__
from rootlet.board import filesystem, firmware, heap_budget, micropython, mpy, partitions, romfs, secure_cert
from rootlet.board.definition import Board
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.trust.loading import unloadable
from rootlet.trust.model import Certificate
from rootlet.trust.roots import PinnedRoot
from rootlet.words import number_of

InPlace = Literal["auto", "yes", "no"]
SANDBOX_ROOT = "sandbox"
MINIMUM_VFS = 64 * filesystem.BLOCK
"""What leaf, the roots, an application and their state need at least, in bytes."""


@dataclass(frozen=True)
class Image:
    """A built image. ``flash`` may hold a private key; the repr does not show it."""

    flash: bytes = field(repr=False)
    files: Mapping[str, int]
    used: int
    vfs_size: int
    build: Mapping[str, Any]
    romfs_files: Mapping[str, int]
    romfs_size: int
    can_run_in_place: bool | None
    """Whether the given MicroPython has ROMFS; None where none was given."""

    budget: heap_budget.Budget | None
    """None for a board with PSRAM."""

    native: Mapping[str, str]
    """The architecture of each file that holds machine code, which the virtual board cannot run."""

    @property
    def code(self) -> str:
        """Where the code lies, and why, in one line."""
        frozen = "leaf is frozen in MicroPython; " if self.build["leaf_frozen"] else ""
        if self.romfs_files:
            return f"{frozen}romfs: {number_of(len(self.romfs_files), 'file')}, {self.romfs_size} bytes, run in place"
        why = {True: "as asked", False: "this MicroPython was built without ROMFS", None: "no MicroPython is given"}
        return f"{frozen}vfs, copied to RAM when imported: {why[self.can_run_in_place]}"

    def facts(self) -> dict[str, Any]:
        """What was built, for machines."""
        return {
            "bytes": len(self.flash),
            "vfs_bytes": self.vfs_size,
            "vfs_used": self.used,
            "files": dict(self.files),
            "romfs_bytes": self.romfs_size,
            "romfs_files": dict(self.romfs_files),
            "memory": self.budget.facts() if self.budget else None,
            "native": dict(self.native),
            **self.build,
        }


def build(
    board: Board,
    config: Mapping[str, Any],
    application: Path,
    roots: Sequence[PinnedRoot],
    *,
    identity: DeviceIdentity | None = None,
    sandbox_root: Path | None = None,
    built: int | None = None,
    micropython_bin: bytes | None = None,
    in_place: InPlace = "auto",
) -> Image:
    """Compose the whole flash of ``board``; without ``identity`` it is the golden image of a batch.

    ``built`` (Unix seconds, now by default) is the floor of the device's clock. The same inputs give the same bytes.
    With ``micropython_bin`` the partition table is that build's own, with ``esp_secure_cert`` added; otherwise it is the
    board's, and the image boots on the virtual board only.
    ``in_place`` says whether code goes into a partition ``romfs``, where it runs without being copied to RAM: "auto" where
    the given MicroPython can do that.
    Raises RootletError where a root differs from its pin, MicroPython does not suit the board, or something does not fit.
    """
    anchors = {root.name: root.der() for root in roots}
    if sandbox_root is not None:
        anchors[SANDBOX_ROOT] = _sandbox_root(sandbox_root)
    for name, der in anchors.items():
        if why := unloadable(Certificate(der)):
            hint = "leave this root out, or use one with an EC (P-256, P-384) or RSA key and no such extension"
            raise BadInput(f"no device can load the root {name}: {why}", hint=hint)
    flash = bytearray(b"\xff" * board.flash_size)
    table = board.partitions
    found = _checked(micropython_bin, board) if micropython_bin is not None else None
    release = None
    facts = {
        "board": board.id,
        "built": int(time.time()) if built is None else built,
        "leaf": firmware.leaf_version(),
        "rootlet": __version__,
        "roots": sorted(anchors),
        "sandbox_root": sandbox_root is not None,
        "code": "romfs" if _in_place(in_place, found) else "vfs",
        "leaf_frozen": bool(found and found.leaf_frozen),
    }
    if own := sorted(root.name for root in roots if root.own):
        facts["own_roots"] = own
    if found is not None and micropython_bin is not None:
        table = partitions.with_secure_cert(found.partitions)
        facts["micropython"] = found.text
        release = ".".join(map(str, found.version or ()))
        _put(flash, board.micropython_offset, micropython_bin)
    files = firmware.files(
        application,
        config,
        anchors,
        facts,
        architecture=mpy.OF_CHIP[board.chip],
        romfs=facts["code"] == "romfs",
        frozen=bool(facts["leaf_frozen"]),
    )
    every = {**files.romfs, **files.vfs}
    mpy.check_release(every, found.text if found else None, found.version if found else None)
    rom = romfs.build(files.romfs) if files.romfs else b""
    if rom:
        table = partitions.with_romfs(table, len(rom))
        _put(flash, partitions.find(table, partitions.ROMFS).offset, rom)
    vfs = partitions.vfs(table, board.flash_size)
    if found is not None:
        micropython.check_table(found, table)
    _check_fit(vfs, board, micropython_bin)
    _put(flash, board.partition_table_offset, partitions.encode(table))
    if identity is not None:
        _put(flash, partitions.find(table, partitions.SECURE_CERT).offset, secure_cert.from_identity(identity))
    budget = heap_budget.estimate(board.memory, files, release) if board.memory else None
    if budget:
        heap_budget.check(budget)
    content = filesystem.build(files.vfs, vfs.size)
    _put(flash, vfs.offset, content)
    sizes = {name: len(data) for name, data in files.vfs.items()}
    rom_sizes = {name: len(data) for name, data in files.romfs.items()}
    able = found.romfs if found is not None else None
    return Image(
        bytes(flash), sizes, filesystem.used(content), vfs.size, facts, rom_sizes, len(rom), able, budget, mpy.native(every)
    )


def _checked(micropython_bin: bytes, board: Board) -> micropython.MicroPython:
    found = micropython.read(micropython_bin)
    micropython.check(found, board)
    if found.leaf_frozen and found.leaf_source != firmware.leaf_source():
        raise BadInput(
            "the leaf that this MicroPython has frozen is not the one of this rootlet",
            hint="build MicroPython again with FROZEN_MANIFEST pointing to this rootlet's firmware/manifest.py",
        )
    return found


def _in_place(wanted: InPlace, found: micropython.MicroPython | None) -> bool:
    """Raises BadInput where it is wanted and the given MicroPython cannot do it. Without one, the virtual board can."""
    if wanted == "yes" and found is not None and not found.romfs:
        raise BadInput(
            f"MicroPython {found.text} was built without ROMFS: it cannot run code in place",
            hint="leave --romfs out, and the code goes to vfs; or build MicroPython yourself: docs/own-build.md",
        )
    return wanted == "yes" or (wanted == "auto" and found is not None and found.romfs)


def _check_fit(vfs: partitions.Partition, board: Board, micropython_bin: bytes | None) -> None:
    size = f"{board.flash_size >> 20} MiB of flash"
    if vfs.end > board.flash_size or vfs.size < MINIMUM_VFS:
        raise BadInput(
            f"the partitions of this MicroPython leave {max(vfs.size, 0)} bytes for vfs in {size}",
            hint="choose the size of flash that the module has: --flash-size",
        )
    if micropython_bin is not None and board.micropython_offset + len(micropython_bin) > vfs.offset:
        raise BadInput(f"the MicroPython file reaches into vfs at 0x{vfs.offset:x}", hint="give the release's .bin")


def _sandbox_root(path: Path) -> bytes:
    (certificate, *others) = load_certificates(path)
    if others:
        raise BadInput(f"{path} holds more than one certificate", hint="give the root alone")
    if certificate.issuer != certificate.subject:
        raise BadInput(f"{path} is not a root: another certificate issued it", hint="give the self-signed root")
    return certificate.public_bytes(Encoding.DER)


def _put(flash: bytearray, offset: int, data: bytes) -> None:
    flash[offset : offset + len(data)] = data
