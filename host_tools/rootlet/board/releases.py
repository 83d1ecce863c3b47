"""Fetching the MicroPython release that a board's definition names, and never taking another file for it."""

import hashlib
import os
import urllib.error
import urllib.request

from rootlet.board import micropython
from rootlet.board.definition import Board
from rootlet.errors import BadInput, RootletError

BASE = "https://micropython.org/resources/firmware"
MIRROR = "ROOTLET_MICROPYTHON_MIRROR"
"""The environment variable that names another place with the same files."""

TIMEOUT = 30  # seconds without a byte
LARGEST = 16 << 20  # bytes; a larger file is not a MicroPython build


def url(board: Board) -> str:
    return f"{os.environ.get(MIRROR, BASE).rstrip('/')}/{board.micropython.file}"


def fetch(board: Board, sha256: str | None = None) -> bytes:
    """Download the board's release and check digest, header, hash, chip and version.

    The digest is the one in board.toml, or ``sha256``. Raises BadInput where neither is known or they disagree, and
    RootletError where there is no network or the file is another one.
    """
    pinned = board.micropython.sha256
    if pinned and sha256 and pinned != sha256.lower():
        raise BadInput(f"{sha256} is not the digest pinned for {board.id}, {pinned}", hint="leave --sha256 out")
    expected = pinned or (sha256 or "").lower()
    if not expected:
        raise BadInput(
            f"nobody has pinned the SHA-256 of {board.micropython.file}",
            hint=f"get {url(board)} in a way that you trust, and give its digest: --sha256, or sha256 in board.toml",
        )
    data = _download(url(board))
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise RootletError(
            f"{url(board)} has SHA-256 {digest}, not {expected}", hint="do not use it; find out which one is right"
        )
    micropython.check(micropython.read(data), board)
    return data


def _download(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as response:  # noqa: S310 - ours, or the user's mirror
            data: bytes = response.read(LARGEST + 1)
    except urllib.error.HTTPError as error:
        raise RootletError(f"{address}: the server says {error.code}", hint=f"check the version, or set {MIRROR}") from None
    except (urllib.error.URLError, OSError) as error:
        raise RootletError(
            f"no network: {address} cannot be reached ({error})",
            hint=f"download it elsewhere and give it to image build --micropython, or set {MIRROR}",
        ) from None
    if len(data) > LARGEST:
        raise RootletError(f"{address} is larger than any firmware", hint=f"check {MIRROR}")
    return data
