"""Boards with flash encryption or secure boot: their eFuses are burned as a step of the station.

Flash is written first, encrypted, and compared; then the eFuses burn, the enabling ones last; then the board is proved.
Until the first eFuse burns, an interrupted board begins anew. From then on its flash is not written again: the key that
encrypts it is in its eFuses and nowhere else.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rootlet.board import credentials, efuses, sealing
from rootlet.board.chip import Chip
from rootlet.board.efuses import BurnPlan, BurnStep, Fuses
from rootlet.board.images import ImageFile
from rootlet.errors import BadInput, RootletError
from rootlet.factory import content
from rootlet.factory.admission import ConnectedBoard, Refused
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan
from rootlet.files import make_private_directory, read_input

ASIDE = "set it aside: no other identity can be written to it"


@dataclass(frozen=True)
class ProtectionSetup:
    """What burns on the boards of a batch, as plain data. ``virtual`` is a directory of virtual eFuses: a rehearsal."""

    plan: BurnPlan
    encrypts: bool
    signing_key: bytes | None = field(repr=False)
    virtual: Path | None = None


@dataclass(frozen=True)
class Protection:
    """A setup, and what opens a chip's eFuses."""

    setup: ProtectionSetup
    fuses: Callable[[Chip], AbstractContextManager[Fuses]]

    @property
    def detail(self) -> dict[str, Any]:
        """What the ledger says before the first eFuse burns: which they are, in order, and whether it is a rehearsal."""
        burning: dict[str, Any] = {"efuses": [step.target for step in self.setup.plan.steps]}
        return burning | ({"virtual": True} if self.setup.virtual else {})

    def inspect(self, chip: Chip) -> bool:
        """Whether the key of a flash encryption is burned. Raises Refused where the plan cannot be burned on this chip."""
        with self.fuses(chip) as fuses:
            try:
                pending = efuses.check_chip(fuses, self.setup.plan, self.setup.signing_key)
            except BadInput as error:
                raise Refused(f"the board {chip.mac}: {error.what}", hint="set it aside: its eFuses are burned") from None
        return any(step.action == "key" and step not in pending for step in self.setup.plan.steps)

    def burn(self, chip: Chip, key: bytes | None, on_step: Callable[[BurnStep, bool], None]) -> None:
        """Burn what is missing of the plan; ``key`` is None where it must be burned already."""
        keys = {step.target: key for step in self.setup.plan.steps if step.action == "key"} if key else {}
        with self.fuses(chip) as fuses:
            efuses.burn_all(fuses, self.setup.plan, keys, self.setup.signing_key, on_step)

    def check(self, chip: Chip) -> None:
        """Raise RootletError where an eFuse of the plan is not burned."""
        with self.fuses(chip) as fuses:
            pending = efuses.check_chip(fuses, self.setup.plan, self.setup.signing_key)
        if pending:
            raise RootletError(f"{pending[0].target} is not burned", hint="connect the board again")


def recognize(chip: Chip, image: ImageFile | None, ledger: Ledger, protection: Protection | None) -> ConnectedBoard:
    """The board at a port, whether its flash can be read or not. Raises Refused for one that cannot be of this batch."""
    fixed = protection.inspect(chip) if protection else False
    known = ledger.sealed(chip.mac)
    if protection is None or not protection.setup.encrypts:
        if not chip.encrypts:
            return plainly(chip, image)
        raise Refused(
            f"the board {chip.mac} encrypts its flash" + (f": it is {known.thing}" if known else ""),
            hint="set it aside: it is not for this batch",
        )
    same = known is not None and content.holds(chip, known)
    if fixed or chip.encrypts:
        if known is None:
            raise Refused(
                f"the board {chip.mac} has a key of a flash encryption in its eFuses, and is not in this ledger", hint=ASIDE
            )
        if not same:
            raise Refused(f"the board {chip.mac} is {known.thing}, and its flash is not what was written", hint=ASIDE)
        return ConnectedBoard(chip.mac, known.certificate_id, fixed=True)
    return ConnectedBoard(chip.mac, begins_anew=True) if same else plainly(chip, image)


def plainly(chip: Chip, image: ImageFile | None = None) -> ConnectedBoard:
    """The board's MAC address, and the content of its credential partition. Raises RootletError for a lost board.

    ``image`` is what is about to be written.
    """
    found = credentials.look(chip, image.credentials if image else None)
    if found is None:
        return ConnectedBoard(chip.mac)  # a new board
    return ConnectedBoard(chip.mac, found.certificate_id, whole=found.identity is not None)


def prepare(
    plan: BatchPlan,
    chip: str,
    image: ImageFile | None,
    signing_key: Path | None,
    *,
    own_build: bool,
    virtual: Path | None,
) -> ProtectionSetup | None:
    """What burns on the boards of a batch; None where nothing does.

    Raises BadInput where the image would not run on a board with these eFuses, or the signing key is not the batch's.
    """
    if not plan.protect:
        if virtual is not None or signing_key is not None:
            raise BadInput("this batch burns no eFuses", hint="open one that does: rootlet factory open --protect")
        return None
    if image is None:
        raise BadInput("each board of this batch gets an image of its own", hint="give the golden image: --image")
    key = read_signing_key(plan.protect, signing_key)
    if key is not None:
        if efuses.signing_digest(key).hex() != plan.signing_digest:
            raise BadInput(f"{signing_key} is not the signing key that the batch was opened with", hint="give that one")
        sealing.check_signatures(image.data, key)
    if plan.encrypts:
        sealing.check_encryption(image.data, own_build=own_build)
    if virtual is not None:
        make_private_directory(virtual)
    return ProtectionSetup(efuses.plan(chip, plan.protect), plan.encrypts, key, virtual)


def read_signing_key(protect: tuple[efuses.Feature, ...], signing_key: Path | None) -> bytes | None:
    """The signing key, PEM, where secure boot needs one. Raises BadInput where it is missing, or not needed."""
    needed = "secure-boot" in protect
    if needed and signing_key is None:
        raise BadInput("secure boot needs the signing key's digest", hint="give its RSA-3072 PEM: --signing-key")
    if not needed and signing_key is not None:
        raise BadInput("a signing key is for secure boot only", hint="leave out --signing-key")
    return efuses.public_half(read_input(signing_key, "signing key")) if signing_key else None
