"""Making a board on a port a device: an image and an identity, or the identity alone."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rootlet.board import credentials, flasher
from rootlet.board.chip import Chip, Progress
from rootlet.board.flasher import WriteResult
from rootlet.board.images import ImageFile
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity

Bar = Callable[[str, int], AbstractContextManager[Progress]]
"""Shows a title and how many of so many bytes are written."""


def choose_identity(image: ImageFile | None, thing: str | None, place: Path | None, *, none: bool) -> DeviceIdentity | None:
    """The identity that a board gets: the image's own, or the one in ``place``, which is ``thing``'s; None with ``none``.

    Raises BadInput where they contradict each other, or nothing says which.
    """
    if image and image.identity is not None:
        if thing is not None and thing != image.identity.thing:
            raise BadInput(
                f"the image is of {image.identity.thing}, not of {thing}", hint="choose the other image, or a golden one"
            )
        return image.identity
    if none and image is None:
        raise BadInput("--identity-only and --no-identity leave nothing to write", hint="give one of them")
    if none:
        return None
    if place is None:
        raise BadInput("it is not said which device the board becomes", hint="name it: --thing NAME; or --no-identity")
    found = DeviceIdentity.load(place)
    if thing is not None and found.thing != thing:
        raise BadInput(f"{place} holds the identity of {found.thing}", hint="check the directory")
    return found


def provision(
    chip: Chip, image: ImageFile | None, identity: DeviceIdentity | None, bar: Bar, *, replace: bool
) -> WriteResult:
    """Write image and identity, compare every region, and read the credentials back.

    Without ``image`` the identity goes to a board that carries the golden image. Raises BadInput where the board has
    other credentials and ``replace`` is not set, RootletError where something differs after writing.
    """
    credentials.guard(chip, identity, replace, image.credentials if image else None)
    if image is None:
        assert identity is not None
        with bar(f"writing the identity of {identity.thing}", 0x2000) as progress:
            return flasher.write_identity(chip, identity, progress)
    flasher.check_fit(chip, image.data)
    content = flasher.with_identity(image.data, identity) if identity else image.data
    with bar(f"writing {image.path.name}", len(content)) as progress:
        written = flasher.burn(chip, flasher.regions(content), progress)
    if identity is not None:
        flasher.check_identity(chip, identity, flasher.read_table(chip))
    return written
