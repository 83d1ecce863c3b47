"""A device of the tests on an emulated chip, where an emulator is installed."""

import pytest
from rootlet.board.definition import load_board
from rootlet.emulator import chip_image
from rootlet.emulator.chip_board import ChipBoard, find_emulator
from rootlet.emulator.qemu import Qemu
from rootlet.errors import RootletError

from . import official
from .device import BuiltDevice

NETWORK = Qemu.network


def make_chip(device: BuiltDevice, name: str) -> None:
    """Put the official release of this name under the device. Skips where it, or an emulator of its chip, is missing."""
    release = official.RELEASES[name]
    board = load_board(release.board)
    try:
        find_emulator(board.chip)
    except RootletError as missing:
        pytest.skip(f"{missing.what}: {missing.hint}")
    device.board, device.micropython = board, official.get(name)
    device.config = {**device.config, "wifi": [{"ssid": NETWORK}]}


def boot(device: BuiltDevice) -> ChipBoard:
    """The emulated chip, to be entered as a context."""
    if not device.flash.exists():
        device.build()
    return chip_image.board(device.flash, None, device.resolve)
