"""What an emulator of chips must offer. To add one, write a module like ``qemu`` and name its class in ``chip_board``."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self


@dataclass(frozen=True)
class Wiring:
    """What an emulator connects its chip to.

    ``console`` is a Unix socket that listens for the chip's first serial port. ``chip`` and ``uplink`` are inherited
    file descriptors of datagram sockets, a frame a datagram: the chip's network card goes on the one, the emulator's
    user-mode network on the other. ``scratch`` is a directory for the emulator's own files, which goes with the board.
    """

    flash: Path
    mac: str
    console: Path
    chip: int
    uplink: int
    scratch: Path


class ChipEmulator(ABC):
    """An emulator that is installed, and can emulate one kind of chip."""

    network: ClassVar[str]
    """The SSID of its access point, which asks for no password."""
    flash_sizes: ClassVar[tuple[int, ...]]
    """What it can emulate, in bytes."""

    @classmethod
    @abstractmethod
    def find(cls, chip: str, where: Path | None) -> Self:
        """Return the emulator of ``chip`` at ``where``, or on PATH. Raises RootletError that says what to install."""

    @abstractmethod
    def command(self, wiring: Wiring) -> list[str]:
        """Return the command line that boots the flash file."""
