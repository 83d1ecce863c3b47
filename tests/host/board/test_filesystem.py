"""File systems made and read by littlefs's C code, which calls Python for each block."""

import signal
from typing import Any

import pytest
from littlefs.context import UserContext
from rootlet.board import filesystem

FILES = {"/a": b"x" * 5000, "/b/c": b"y"}
SIZE = 16 * filesystem.BLOCK


class Interrupted(UserContext):
    """Ctrl-C comes while a block is being read or written."""

    def read(self, *arguments: Any) -> bytearray:
        signal.raise_signal(signal.SIGINT)
        return super().read(*arguments)

    def prog(self, *arguments: Any) -> int:
        signal.raise_signal(signal.SIGINT)
        return super().prog(*arguments)


@pytest.mark.parametrize("what", ["build", "read", "used"])
def test_ctrl_c_in_a_block_is_not_lost(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the block: what was at work when it came is whole."""
    image = filesystem.build(FILES, SIZE)
    monkeypatch.setattr(filesystem, "UserContext", Interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        filesystem.build(FILES, SIZE) if what == "build" else getattr(filesystem, what)(image)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert filesystem.read(image) == FILES


def test_ctrl_c_while_a_board_is_read_is_not_taken_for_an_empty_block() -> None:
    image = filesystem.build(FILES, SIZE)

    def fetch(offset: int, size: int) -> bytes:
        if offset >= 2 * filesystem.BLOCK:
            raise KeyboardInterrupt
        return image[offset : offset + size]

    with pytest.raises(KeyboardInterrupt):
        filesystem.read_from(fetch, SIZE)
