"""Building an image in one call, for use from Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.board import image
from rootlet.board.definition import load_board
from rootlet.board.image import Image
from rootlet.files import read_input, write_secret
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.own_roots import with_own

SAMPLE = resources.FIRMWARE / "apps" / "sample"


def build_image(
    path: Path,
    config: Mapping[str, Any],
    identity: DeviceIdentity | None = None,
    *,
    board: str = "esp32_generic",
    application: Path = SAMPLE,
    sandbox_root: Path | None = None,
    micropython_bin: Path | None = None,
    own_roots: Path | None = None,
) -> Image:
    """Build a flash image with Amazon's default roots and write it to ``path``, readable by its owner alone.

    Without ``identity`` it is the golden image of a batch. ``sandbox_root`` is a sandbox's root, for tests only. Without
    ``micropython_bin`` the image boots on the virtual board only. ``own_roots`` is the project's ``roots.toml``.
    Raises RootletError.
    """
    built = image.build(
        load_board(board),
        config,
        application,
        with_own(own_roots).defaults(),
        identity=identity,
        sandbox_root=sandbox_root,
        micropython_bin=read_input(micropython_bin, "MicroPython file") if micropython_bin else None,
    )
    write_secret(path, built.flash)
    return built
