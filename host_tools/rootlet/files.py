"""Writing files so that a reader sees the old bytes or the new ones, never half of either."""

import os
import secrets
from pathlib import Path

from rootlet.errors import BadInput

SECRET_MODE = 0o600
PUBLIC_MODE = 0o644


def write_atomic(path: Path, data: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Write ``data`` to ``path``: beside, fsync, rename. The file never exists with a wider mode than ``mode``."""
    descriptor, beside = _open_beside(path, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def check_writable(path: Path) -> None:
    """Before long work: raises BadInput where ``write_atomic`` would after it."""
    descriptor, beside = _open_beside(path, SECRET_MODE)
    os.close(descriptor)
    beside.unlink()


def _open_beside(path: Path, mode: int) -> tuple[int, Path]:
    if path.is_dir():
        raise BadInput(f"cannot write {path}: it is a directory", hint="name a file in it")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # O_EXCL and the mode at creation: a key is never readable by others, not even for a moment.
    try:
        return os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), beside
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror}", hint="check its directory and your rights to it") from None


def write_secret(path: Path, data: bytes) -> None:
    """Write key material: as ``write_atomic``, readable by its owner alone (0600)."""
    write_atomic(path, data, mode=SECRET_MODE)


def make_private_directory(path: Path) -> None:
    """Create ``path`` (and parents) readable by its owner alone; leave an existing one as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def read_input(path: Path, what: str) -> bytes:
    """Read a file the user named; ``what`` says what it should have been. Raises BadInput."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{what} not found: {path}", hint="check the path") from None
    except IsADirectoryError:
        raise BadInput(f"{what} is a directory: {path}", hint="name the file inside it") from None
    except PermissionError:
        raise BadInput(f"{what} cannot be read: {path}", hint="check the file's owner and mode") from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
