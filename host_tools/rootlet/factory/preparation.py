"""What must be right before the first board of a run is touched."""

from dataclasses import dataclass, field
from pathlib import Path

from rootlet.board import images
from rootlet.board.definition import load_board
from rootlet.board.images import ImageFile
from rootlet.errors import BadInput, RootletError
from rootlet.factory import high_water, protection, views
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan
from rootlet.factory.protection import ProtectionSetup
from rootlet.factory.signing import check_ca, check_clock, utc_now
from rootlet.factory.station import registers_now


@dataclass(frozen=True)
class Prepared:
    """A batch that can be run: its plan, its chip, its golden image where one is given, and its CA's directory."""

    plan: BatchPlan
    chip: str
    image: ImageFile | None = field(repr=False)
    ca: Path
    protection: ProtectionSetup | None


@dataclass(frozen=True)
class Given:
    """What the person who starts the station gives: files, and statements about them; see ``protection.prepare``."""

    image: Path | None = None
    bare: bool = False
    ca: Path | None = None
    signing_key: Path | None = None
    own_build: bool = False
    virtual_efuses: Path | None = None


def prepare(database: Database, station: str, batch: str, given: Given, *, receipts: Path) -> Prepared:
    """Check ledger, batch, image, clock, cloud and CA. Raises BadInput or RootletError for the first that will not do."""
    high_water.check(database, receipts)
    plan = Ledger(database, station=station).plan(batch)
    chip = load_board(plan.board).chip
    golden = images.load(given.image, bare=given.bare) if given.image else None
    _check_image(golden, chip, plan)
    protected = protection.prepare(
        plan, chip, golden, given.signing_key, own_build=given.own_build, virtual=given.virtual_efuses
    )
    check_clock(utc_now(), views.last_entry_at(database))
    if registers_now(plan):
        _check_cloud(plan)
    directory = given.ca or Path(plan.ca)
    check_ca(directory)
    return Prepared(plan, chip, golden, directory, protected)


def _check_cloud(plan: BatchPlan) -> None:
    """Say now what is not configured or not in the account, and not board by board."""
    from rootlet.cloud import client, registration
    from rootlet.factory import registrar

    iot = client.iot()
    try:
        registration.check(iot, registrar.request(plan))
    except BadInput:
        raise
    except RootletError:
        pass  # AWS is out of reach: the boards wait for their registration


def _check_image(golden: ImageFile | None, chip: str, plan: BatchPlan) -> None:
    if golden is None:
        return
    if golden.chip != chip:
        raise BadInput(f"{golden.path} is for {golden.chip}, and the batch for {plan.board}", hint="give its own image")
    if golden.identity is not None:
        raise BadInput(
            f"{golden.path} holds the identity of {golden.identity.thing}",
            hint="build a golden image: rootlet image build without --device",
        )
