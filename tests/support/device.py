"""A device for the tests: an identity, an image, and the virtual board that boots it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board import image
from rootlet.board.definition import Board, load_board
from rootlet.board.partitions import SECURE_CERT, find
from rootlet.emulator.emulated_board import EmulatedBoard
from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import PinnedRoot, load_manifest

BOARD = load_board("esp32_generic")
SAMPLE = resources.FIRMWARE / "apps" / "sample"
CREDENTIALS = find(BOARD.partitions, SECURE_CERT)


@dataclass
class BuiltDevice:
    """Builds its flash in ``directory`` and boots it. ``resolve`` is the board's DNS."""

    directory: Path
    identity: DeviceIdentity | None
    config: Mapping[str, Any]
    sandbox_root: Path | None = None
    resolve: Mapping[str, str] = field(default_factory=dict)
    application: Path = SAMPLE
    heapsize: str = "176K"
    built: int | None = None
    in_place: image.InPlace = "auto"
    board: Board = BOARD
    micropython: bytes | None = None
    """Without one, it boots on the virtual board only."""

    roots: Sequence[PinnedRoot] = field(default_factory=lambda: load_manifest().defaults())

    @property
    def flash(self) -> Path:
        return self.directory / "flash.bin"

    def build(self) -> None:
        made = image.build(
            self.board,
            self.config,
            self.application,
            self.roots,
            identity=self.identity,
            sandbox_root=self.sandbox_root,
            built=self.built,
            in_place=self.in_place,
            micropython_bin=self.micropython,
        )
        self.flash.write_bytes(made.flash)

    def write_credentials(self, partition: bytes | bytearray) -> None:
        """Put these bytes into the credential partition."""
        flash = bytearray(self.flash.read_bytes())
        flash[CREDENTIALS.offset : CREDENTIALS.offset + len(partition)] = partition
        self.flash.write_bytes(flash)

    def boot(self, **extra: Any) -> VirtualBoard:
        """The virtual board, to be entered as a context."""
        if not self.flash.exists():
            self.build()
        return VirtualBoard(self.flash, BoardSettings(resolve=self.resolve, heapsize=self.heapsize, extra=extra))


def fault_line(board: VirtualBoard, word: str, timeout: float = 20) -> str:
    """The line in which the device names this fault: cause, then the hint."""
    return board.wait_for(rf"^\d+ fault: {word}: .+; .+", timeout).string


def no_line(board: EmulatedBoard, parts: Sequence[str]) -> bool:
    """Whether none of ``parts`` stands in any line so far."""
    return not any(part in line for line in board.lines for part in parts)
