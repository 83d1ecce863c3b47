"""Directories of credentials: all files of one appear together or none does, and none is ever overwritten."""

import datetime as dt
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.files import make_private_directory, write_atomic, write_secret


def check_vacant(directory: Path, what: str, hint: str = "choose another name, or move the existing one away") -> None:
    """Raise BadInput where ``directory`` is not empty. ``what`` names what would be written."""
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if directory.exists() or directory.is_symlink():
        raise BadInput(
            f"{directory} already exists: {what} never overwrites anything",
            hint=hint,
        )


def write_directory(directory: Path, files: Mapping[str, bytes], *, secret: Collection[str], what: str) -> None:
    """Create ``directory`` (0700) with ``files``, those named in ``secret`` 0600: all of them or, on any error, none.

    The files are written to a temporary directory, which is then renamed. Raises BadInput where ``directory`` is not empty,
    or cannot be written.
    """
    check_vacant(directory, what)
    target = directory.resolve()
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        make_private_directory(staging)
        for name, data in files.items():
            if name in secret:
                write_secret(staging / name, data)
            else:
                write_atomic(staging / name, data)
        staging.rename(target)
    except OSError as error:
        raise BadInput(
            f"cannot write {directory}: {error.strerror}", hint="check the path and the owner of its parent"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def set_aside(directory: Path) -> Path | None:
    """The new name of ``directory``, which is renamed so that nothing in it is lost; None where it does not exist."""
    if not directory.exists():
        return None
    return directory.rename(aside(directory))


def aside(path: Path) -> Path:
    """The name beside ``path`` under which its present content is kept."""
    return path.with_name(f"{path.name}.replaced-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}")
