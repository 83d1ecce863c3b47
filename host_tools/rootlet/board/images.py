"""An image file on its way to a board: its bytes, the chip it is for, and the identity in it."""

from dataclasses import dataclass, field
from pathlib import Path

from rootlet.board import inspect_image, partitions
from rootlet.board.definition import load_board
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity


@dataclass(frozen=True)
class ImageFile:
    """The repr does not show ``data``: it may hold a private key."""

    path: Path
    data: bytes = field(repr=False)
    chip: str
    identity: DeviceIdentity | None
    credentials: Partition
    """Where the image has its credential partition."""


def load(path: Path, *, bare: bool = False) -> ImageFile:
    """Read an image that ``rootlet image build`` made. Raises BadInput for one that must not be written to a board.

    ``bare`` allows an image without MicroPython, which erases the one on the board: for the virtual board and mocks.
    """
    data = inspect_image.read(path)
    found = inspect_image.inspect(data)
    board_id = found.json_file("/build.json").get("board")
    if not isinstance(board_id, str) or found.vfs is None or found.vfs_problem:
        raise BadInput(
            f"{path} was not built by rootlet image build: {found.vfs_problem or 'it has no /build.json'}",
            hint="build one: rootlet image build --help",
        )
    if found.micropython_problem and found.micropython is not None:
        raise BadInput(f"{path}: MicroPython is damaged: {found.micropython_problem}", hint="build the image again")
    if found.micropython is None and not bare:
        raise BadInput(
            f"{path} holds no MicroPython: the board would not start",
            hint="build it with --micropython FILE; to write it all the same, as to a mock: --bare",
        )
    place = partitions.find(found.partitions, partitions.SECURE_CERT)
    return ImageFile(path, data, load_board(board_id).chip, found.identity, place)
