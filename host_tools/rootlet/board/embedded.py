"""What an image or a board holds of trust: the roots that it embeds, and its device's chain."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.board import flasher, inspect_image
from rootlet.board.chip import Chip
from rootlet.errors import RootletError
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.model import Certificate, readable

_ROOTS = "/roots/"


@dataclass(frozen=True)
class Embedded:
    """``where`` names the image or the port; ``problem`` says why there is no ``chain``."""

    where: str
    roots: dict[str, Certificate]
    chain: list[Certificate]
    problem: str | None


def in_image(path: Path) -> Embedded:
    """What a flash image, or a dump, embeds. Raises BadInput."""
    contents = inspect_image.inspect(inspect_image.read(path))
    files = {name: data for name, data in contents.files.items() if name.startswith(_ROOTS)}
    return _embedded(path.name, files, contents.identity, contents.identity_problem)


def on_board(chip: Chip, where: str) -> Embedded:
    """What a board embeds. Raises RootletError."""
    table = flasher.read_table(chip)
    identity, problem = None, None
    try:
        identity = flasher.read_identity(chip, table)
    except RootletError as error:
        problem = error.what
    files = flasher.files(chip, table, lambda name: name.startswith(_ROOTS))
    return _embedded(where, files, identity, problem)


def _embedded(where: str, files: Mapping[str, bytes], identity: DeviceIdentity | None, problem: str | None) -> Embedded:
    roots = {}
    for name, der in sorted(files.items()):
        if found := readable([der]):
            roots[name.removeprefix(_ROOTS).removesuffix(".der")] = found[0]
    own = (identity.certificate, *identity.issuers) if identity else ()
    chain = [Certificate(certificate.public_bytes(Encoding.DER)) for certificate in own]
    return Embedded(where, roots, chain, problem or (None if chain else "it holds no identity"))
