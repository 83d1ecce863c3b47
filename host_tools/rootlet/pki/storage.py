"""Directories of credentials: all of their files appear together, or none does; nothing in them is ever overwritten."""

import datetime as dt
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from rootlet.errors import BadInput
from rootlet.files import make_private_directory, write_atomic, write_secret


def check_vacant(directory: Path, what: str, hint: str = "choose another name, or move what is there away") -> None:
    """Raise BadInput where ``directory`` holds anything already. ``what`` says what was to lie there."""
    if directory.is_dir() and not any(directory.iterdir()):
        return
    if directory.exists() or directory.is_symlink():
        raise BadInput(
            f"{directory} exists already: {what} is never written over something else",
            hint=hint,
        )


def write_directory(directory: Path, files: Mapping[str, bytes], *, secret: Collection[str], what: str) -> None:
    """Create ``directory`` (0700) with ``files``, those named in ``secret`` 0600: all of them or, on any error, none.

    The files are written beside and renamed into place as one. Raises BadInput where the directory is not vacant, or
    cannot be written.
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
        raise BadInput(f"cannot write {directory}: {error.strerror}", hint="check the path and its owner") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def set_aside(directory: Path) -> Path | None:
    """Rename ``directory`` out of the way, so that nothing in it is lost; return its new name, None where there is none."""
    if not directory.exists():
        return None
    aside = directory.with_name(f"{directory.name}.replaced-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}")
    return directory.rename(aside)
