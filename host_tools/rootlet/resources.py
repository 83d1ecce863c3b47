"""Where the data that ships with Rootlet lies: in the wheel, or in the checkout of an editable install."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_WHEEL = _PACKAGE / "_data"
_ROOT = _IN_WHEEL if _IN_WHEEL.is_dir() else _PACKAGE.parents[1]

FIRMWARE = _ROOT / "firmware"
BOARDS = _ROOT / "boards"
CERTS = _ROOT / "certs"
SHIMS = _PACKAGE / "emulator" / "shims"
"""What stands for the chip on the Unix port; it runs under MicroPython and is never imported here."""
