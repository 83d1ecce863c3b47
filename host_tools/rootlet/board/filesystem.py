"""LittleFS images as MicroPython mounts them: blocks of 4 KiB, exactly as many as the partition has."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from littlefs import LittleFS
from littlefs.context import UserContext
from littlefs.errors import LittleFSError

from rootlet.errors import BadInput, RootletError

BLOCK = 4096
DISK_VERSION = 0x00020001  # 2.1, which MicroPython 1.26 and later writes
NO_SPACE = -28

Fetch = Callable[[int, int], bytes]
"""Reads (offset, size) of a flash, in bytes."""


@contextlib.contextmanager
def _without_interruption() -> Iterator[None]:
    """Keep Ctrl-C until the end. In a callback of littlefs's C code it would be lost, and the block that was due with it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread
        return
    came = False

    def remember(*_: object) -> None:
        nonlocal came
        came = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if came:
            signal.raise_signal(signal.SIGINT)


@_without_interruption()
def build(files: Mapping[str, bytes], size: int) -> bytes:
    """A file system of ``size`` bytes that holds ``files`` (absolute path to content). Raises RootletError when full."""
    filesystem = _open(UserContext(size), size)
    filesystem.format()
    filesystem.mount()
    for name in sorted(files):
        parent = PurePosixPath(name).parent
        if parent != PurePosixPath("/"):
            filesystem.makedirs(str(parent), exist_ok=True)
        try:
            with filesystem.open(name, "wb") as stream:
                stream.write(files[name])
        except LittleFSError as error:
            if error.code != NO_SPACE:
                raise
            total = sum(map(len, files.values()))
            raise RootletError(
                f"the file system is full at {name}: {total} bytes of files, {size} bytes of flash",
                hint="make the application smaller, or choose a board with more flash",
            ) from None
    filesystem.unmount()
    return bytes(filesystem.context.buffer)


@_without_interruption()
def read(image: bytes) -> dict[str, bytes]:
    """Every file in an image, by absolute path. Raises BadInput where there is no LittleFS."""
    return _read_all(_open(UserContext(buffer=bytearray(image)), len(image)), lambda _: True)


def read_from(fetch: Fetch, size: int, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, bytes]:
    """The files of a file system of ``size`` bytes that ``fetch`` (offset, size) reads, block by block as needed.

    Directories are always read, files only where ``wanted`` says so of their path. Raises BadInput as ``read`` does.
    """
    context = _Fetched(fetch)
    try:
        files = _read_all(_open(context, size), wanted)
    except BadInput:
        if context.failure is None:
            raise
    if context.failure is not None:
        raise context.failure
    return files


def _read_all(filesystem: LittleFS, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    try:
        filesystem.mount()
        files = {}
        for root, _, names in filesystem.walk("/"):
            for path in (str(PurePosixPath(root, name)) for name in names):
                if wanted(path):
                    with filesystem.open(path, "rb") as stream:
                        files[path] = stream.read()
    except LittleFSError as error:
        raise BadInput(f"no LittleFS could be mounted ({error})", hint="is this a flash image of a board?") from None
    return files


class _Fetched(UserContext):
    """A flash that is read on demand and never written to; a block is fetched once."""

    def __init__(self, fetch: Fetch) -> None:
        super().__init__(0)
        self._fetch = fetch
        self._blocks: dict[int, bytes] = {}
        self.failure: RootletError | KeyboardInterrupt | None = None

    def read(self, cfg: object, block: int, off: int, size: int) -> bytearray:  # noqa: ARG002 - littlefs' signature
        if block not in self._blocks:
            self._blocks[block] = self._fetch_block(block)
        return bytearray(self._blocks[block][off : off + size])

    def _fetch_block(self, block: int) -> bytes:
        # The C code between would lose an exception, and take whatever came before for the answer.
        if self.failure is None:
            try:
                return self._fetch(block * BLOCK, BLOCK)
            except (RootletError, KeyboardInterrupt) as error:
                self.failure = error
        return bytes(BLOCK)


@_without_interruption()
def used(image: bytes) -> int:
    """Bytes in use, in whole blocks."""
    return int(mount(image).used_block_count) * BLOCK


def mount(image: bytes) -> LittleFS:
    """A copy of an image, mounted to be changed; its bytes are ``context.buffer``."""
    filesystem = _open(UserContext(buffer=bytearray(image)), len(image))
    filesystem.mount()
    return filesystem


def _open(context: UserContext, size: int) -> LittleFS:
    # The sizes that MicroPython gives VfsLfs2 by default.
    return LittleFS(
        context=context,
        mount=False,
        block_size=BLOCK,
        block_count=size // BLOCK,
        read_size=32,
        prog_size=32,
        cache_size=128,
        lookahead_size=32,
        disk_version=DISK_VERSION,
    )
