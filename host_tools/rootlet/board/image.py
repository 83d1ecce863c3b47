"""Flash images: everything that a board's flash holds, from offset 0."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet import __version__
from rootlet.board import filesystem, firmware, micropython, partitions, secure_cert
from rootlet.board.definition import Board
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.trust.roots import PinnedRoot

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
) -> Image:
    """Compose the whole flash of ``board``; without ``identity`` it is the golden image of a batch.

    ``built`` (Unix seconds, now by default) is the floor of the device's clock. The same inputs give the same bytes.
    With ``micropython_bin`` the partition table is that build's own, with ``esp_secure_cert`` added; otherwise it is the
    board's, and the image boots on the virtual board only.
    Raises RootletError where a root differs from its pin, MicroPython does not suit the board, or something does not fit.
    """
    anchors = {root.name: root.der() for root in roots}
    if sandbox_root is not None:
        anchors[SANDBOX_ROOT] = _sandbox_root(sandbox_root)
    flash = bytearray(b"\xff" * board.flash_size)
    table = board.partitions
    facts = {
        "board": board.id,
        "built": int(time.time()) if built is None else built,
        "leaf": firmware.leaf_version(),
        "rootlet": __version__,
        "roots": sorted(anchors),
        "sandbox_root": sandbox_root is not None,
    }
    if micropython_bin is not None:
        found = micropython.read(micropython_bin)
        micropython.check(found, board)
        table = partitions.with_secure_cert(found.partitions)
        facts["micropython"] = found.text
        _put(flash, board.micropython_offset, micropython_bin)
    vfs = partitions.vfs(table, board.flash_size)
    _check_fit(vfs, board, micropython_bin)
    _put(flash, board.partition_table_offset, partitions.encode(table))
    if identity is not None:
        _put(flash, partitions.find(table, partitions.SECURE_CERT).offset, secure_cert.from_identity(identity))
    files = firmware.files(application, config, anchors, facts)
    content = filesystem.build(files, vfs.size)
    _put(flash, vfs.offset, content)
    return Image(bytes(flash), {n: len(c) for n, c in files.items()}, filesystem.used(content), vfs.size, facts)


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
        raise BadInput(f"{path} is no root: somebody else issued it", hint="give the self-signed root")
    return certificate.public_bytes(Encoding.DER)


def _put(flash: bytearray, offset: int, data: bytes) -> None:
    flash[offset : offset + len(data)] = data
