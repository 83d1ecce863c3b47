"""Receipts: what a station entered into a ledger, kept outside the database.

A database that is restored from an older copy does not know what it has forgotten; the receipts do. Each station has a
file of its own, to which it only appends: a header, then a signed line for each entry that changed an identity.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import platformdirs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rootlet.errors import RootletError
from rootlet.files import SECRET_MODE, make_private_directory, write_secret

_TAIL = 32_768  # bytes that hold the last line whatever its certificate
_SUFFIX = ".receipts"


@dataclass(frozen=True)
class Receipt:
    """An entry of the ledger. ``certificate_pem`` comes with the step that issued it."""

    seq: int
    hash: str
    at: str
    thing: str
    step: str
    phase: str
    state: str
    mac: str | None
    certificate_id: str | None
    detail: Mapping[str, Any]
    certificate_pem: str | None = None


@dataclass(frozen=True)
class ReceiptFile:
    """The receipts of one ``station`` for the ledger ``ledger`` (chain.ledger_id), which was at ``place``."""

    path: Path
    ledger: str
    station: str
    place: str
    key: str

    @property
    def name(self) -> str:
        """The file's name in entries of the ledger, whatever directory it is in."""
        return f"{self.station}/{self.key[:16]}"

    def last(self) -> Receipt | None:
        """The last receipt; None where there is none yet. Raises RootletError for a damaged one."""
        with self.path.open("rb") as stream:
            at, tail = _tail(stream)
        lines = _whole(tail).splitlines()
        return self._decode(lines[-1]) if at or len(lines) > 1 else None

    def every(self) -> Iterator[Receipt]:
        """All receipts, the first one first. Raises RootletError for a damaged one."""
        for line in _whole(self.path.read_bytes()).splitlines()[1:]:
            yield self._decode(line)

    def _decode(self, line: bytes) -> Receipt:
        try:
            return Receipt(**_verified(line, self.key, f"{self.ledger}/{self.station}"))
        except (ValueError, TypeError, KeyError, InvalidSignature):
            raise _damaged(self.path) from None


class ReceiptBook:
    """Writes the receipts of ``station`` into ``directory``, which stations may share."""

    def __init__(self, directory: Path, station: str) -> None:
        self.directory = directory
        self._station = station
        # The key and the lock stay on this computer: the directory may be a network share.
        self._private = default_directory()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep out the station's other processes, so that receipts come in the order of their entries."""
        make_private_directory(self._private)
        descriptor = os.open(self._private / f"{_file_name(self._station)}.lock", os.O_RDWR | os.O_CREAT, SECRET_MODE)
        with os.fdopen(descriptor) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def file(self, ledger: str) -> ReceiptFile | None:
        """The station's own file; None where there is none yet. Raises RootletError for a damaged one."""
        path = self._path(ledger, self._key())
        return _load(path) if path.exists() else None

    def append(self, ledger: str, place: str, receipts: Sequence[Receipt]) -> None:
        """Write receipts down, on the disk when this returns. Raises OSError where that is not possible."""
        key = self._key()
        path = self._path(ledger, key)
        make_private_directory(path.parent)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, SECRET_MODE), "r+b") as stream:
            at, tail = _tail(stream)
            stream.truncate(stream.seek(at + len(_whole(tail))))  # a power cut left half a line
            if not stream.tell():
                header = {"ledger": ledger, "station": self._station, "place": place, "key": _public(key)}
                stream.write(_signed(header, key, ""))
            for receipt in receipts:
                stream.write(_signed(asdict(receipt), key, f"{ledger}/{self._station}"))
            stream.flush()
            os.fsync(stream.fileno())

    def _path(self, ledger: str, key: Ed25519PrivateKey) -> Path:
        # Two computers that use one station name, or one that lost its key, do not write into one file.
        return self.directory / ledger[:16] / f"{_file_name(self._station)}.{_public(key)[:16]}{_SUFFIX}"

    def _key(self) -> Ed25519PrivateKey:
        path = self._private / f"{_file_name(self._station)}.key"
        if not path.exists():
            raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
            write_secret(path, raw)
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())


def default_directory() -> Path:
    """Where receipts are kept unless somebody says otherwise: in the user's state directory."""
    return platformdirs.user_state_path("rootlet") / "receipts"


def files(directory: Path, ledger: str | None = None) -> list[ReceiptFile]:
    """The receipt files in ``directory``, of one ledger or of all. Raises RootletError for a damaged one."""
    paths = sorted(directory.glob(f"{ledger[:16] if ledger else '*'}/*{_SUFFIX}"))
    return [found for path in paths if (found := _load(path)) is not None]


def _load(path: Path) -> ReceiptFile | None:
    """None for a file that was cut off while its header was written: no receipt was in it yet."""
    try:
        with path.open("rb") as stream:
            line = stream.readline(_TAIL)
        if not line.endswith(b"\n"):
            return None
        return ReceiptFile(path, **_verified(line, str(json.loads(line)["of"]["key"]), ""))
    except OSError as error:
        raise RootletError(f"the receipts in {path} cannot be read: {error.strerror}", hint="check its mode") from None
    except (ValueError, TypeError, KeyError, InvalidSignature):
        raise _damaged(path) from None


def _signed(content: dict[str, Any], key: Ed25519PrivateKey, context: str) -> bytes:
    signature = key.sign(_message(content, context)).hex()
    return json.dumps({"of": content, "signature": signature}, separators=(",", ":")).encode() + b"\n"


def _verified(line: bytes, key: str, context: str) -> dict[str, Any]:
    found = json.loads(line)
    content: dict[str, Any] = found["of"]
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    public.verify(bytes.fromhex(found["signature"]), _message(content, context))
    return content


def _message(content: dict[str, Any], context: str) -> bytes:
    return f"rootlet receipt {context} {json.dumps(content, sort_keys=True)}".encode()


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _file_name(station: str) -> str:
    return quote(station, safe=" ")[:180]


def _tail(stream: BinaryIO) -> tuple[int, bytes]:
    """Where the end of a file begins, and that end: its last line whole."""
    at = max(0, stream.seek(0, os.SEEK_END) - _TAIL)
    stream.seek(at)
    return at, stream.read()


def _whole(content: bytes) -> bytes:
    """Without what follows the last line's end."""
    return content[: content.rfind(b"\n") + 1]


def _damaged(path: Path) -> RootletError:
    return RootletError(
        f"the receipts in {path} are damaged, or somebody changed them",
        hint="bring back the file from a copy; without one, move it away, then: rootlet factory recover --without STATION",
    )
