"""Flash images: everything that a board's flash holds, from offset 0."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet import __version__
from rootlet.board import filesystem, firmware, partitions, secure_cert
from rootlet.board.definition import Board
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.trust.roots import PinnedRoot

SANDBOX_ROOT = "sandbox"


@dataclass(frozen=True)
class Image:
    """A built image. ``flash`` may hold a private key; the repr does not show it."""

    flash: bytes = field(repr=False)
    files: Mapping[str, int]
    used: int
    vfs_size: int
    build: Mapping[str, Any]


@dataclass(frozen=True)
class Contents:
    """What an image was found to hold: sizes and facts, and of the identity only its public half."""

    table: tuple[Partition, ...]
    vfs: Partition
    files: Mapping[str, bytes] = field(repr=False)
    identity: DeviceIdentity | None
    identity_problem: str | None

    def json_file(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.files.get(name, b"{}"))
        return value


def build(
    board: Board,
    config: Mapping[str, Any],
    application: Path,
    roots: Sequence[PinnedRoot],
    *,
    identity: DeviceIdentity | None = None,
    sandbox_root: Path | None = None,
    built: int | None = None,
) -> Image:
    """Compose the whole flash of ``board``; without ``identity`` it is the golden image of a batch.

    ``built`` (Unix seconds, now by default) is the floor of the device's clock. The same inputs give the same bytes.
    Raises RootletError where a root differs from its pin, or where something does not fit.
    """
    anchors = {root.name: root.der() for root in roots}
    if sandbox_root is not None:
        anchors[SANDBOX_ROOT] = _sandbox_root(sandbox_root)
    facts = {
        "board": board.id,
        "built": int(time.time()) if built is None else built,
        "leaf": firmware.leaf_version(),
        "rootlet": __version__,
        "roots": sorted(anchors),
        "sandbox_root": sandbox_root is not None,
    }
    files = firmware.files(application, config, anchors, facts)
    vfs = filesystem.build(files, board.vfs.size)
    flash = bytearray(b"\xff" * board.flash_size)
    _put(flash, board.partition_table_offset, partitions.encode(board.partitions))
    if identity is not None:
        credentials = partitions.find(board.partitions, partitions.SECURE_CERT)
        _put(flash, credentials.offset, secure_cert.from_identity(identity))
    _put(flash, board.vfs.offset, vfs)
    return Image(bytes(flash), {n: len(c) for n, c in files.items()}, filesystem.used(vfs), board.vfs.size, facts)


def inspect(flash: bytes, table_offset: int = 0x8000) -> Contents:
    """Look into a flash image. Raises BadInput where it holds no partition table or no file system."""
    table = partitions.decode(flash[table_offset : table_offset + partitions.TABLE_SIZE])
    vfs = partitions.vfs(table, len(flash))
    credentials = partitions.find(table, partitions.SECURE_CERT)
    identity, problem = None, None
    try:
        identity = secure_cert.to_identity(flash[credentials.offset : credentials.end])
    except RootletError as error:
        problem = error.what
    files = filesystem.read(flash[vfs.offset : vfs.end])
    return Contents(table, vfs, files, identity, problem)


def _sandbox_root(path: Path) -> bytes:
    (certificate, *others) = load_certificates(path)
    if others:
        raise BadInput(f"{path} holds more than one certificate", way_out="give the root alone")
    if certificate.issuer != certificate.subject:
        raise BadInput(f"{path} is no root: somebody else issued it", way_out="give the self-signed root")
    return certificate.public_bytes(Encoding.DER)


def _put(flash: bytearray, offset: int, data: bytes) -> None:
    flash[offset : offset + len(data)] = data


def read(path: Path) -> bytes:
    """Read an image file. Raises BadInput."""
    return read_input(path, "flash image")
