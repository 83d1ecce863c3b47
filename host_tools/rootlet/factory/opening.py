"""From what somebody asks for to a batch in the ledger."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootlet.board.definition import load_board
from rootlet.errors import BadInput
from rootlet.factory import orders, views
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.orders import BatchOrder
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.signing import check_ca
from rootlet.pki.subject import check_printable

if TYPE_CHECKING:
    from rootlet.board.efuses import Feature


def read_order(batch: str, count: int | None, pattern: str | None, first: int) -> BatchOrder:
    """The identities: ``count`` by ``pattern``, or those of the file ``batch``. Raises BadInput."""
    if (count is None) != (pattern is None):
        raise BadInput("--count and --pattern go together", hint="give both, or a file")
    return orders.from_pattern(pattern or "", count, first) if count else orders.from_csv(Path(batch))


def plan(order: BatchOrder, options: Mapping[str, str | None], **details: Any) -> BatchPlan:
    """What the identities share: from the file and from ``options`` (of SHARED), which must agree; ``details`` go into it.

    Raises BadInput where they do not, or where no CA issues the batch.
    """
    shared = dict(order.shared)
    for name, value in options.items():
        if value is not None and shared.setdefault(name, value) != value:
            raise BadInput(f"--{name} is {value}, and the file says {shared[name]}", hint="leave one of them out")
    if "ca" not in shared:
        raise BadInput("it is not said which CA issues this batch", hint="name its directory: --ca")
    authority = check_ca(Path(shared["ca"]))
    return BatchPlan(
        board=load_board(shared.get("board", "esp32_generic")).id,
        customer=shared.get("customer", authority.customer),
        ca_sha256=authority.sha256,
        registration=_registration(shared.get("registration", RegistrationMode.NOW)),
        ca=shared["ca"],
        **details,
    )


def protection(protect: "tuple[Feature, ...]", signing_key: Path | None) -> dict[str, Any]:
    """The details of a plan whose boards' eFuses are burned. Raises BadInput where secure boot has no signing key."""
    if not protect and signing_key is None:
        return {}
    from rootlet.board import efuses
    from rootlet.factory.protection import read_signing_key

    features = tuple(feature for feature in efuses.FEATURES if feature in protect)
    key = read_signing_key(features, signing_key)
    return {"protect": features, "signing_digest": efuses.signing_digest(key).hex() if key else ""}


def enter(database: Database, ledger: Ledger, name: str, source: str, order: BatchOrder, batch_plan: BatchPlan) -> None:
    """Enter the batch ``name`` whole, or nothing of it.

    Raises BadInput for a name that is not on one line, and, by the rows of ``source``, for known things.
    """
    check_printable("the batch's name", name)
    check_printable("the customer", batch_plan.customer)
    order.refuse_known(source, views.known(database, [identity.thing for identity in order.identities]))
    ledger.open_batch(name, order.identities, batch_plan)


def _registration(word: str) -> RegistrationMode:
    try:
        return RegistrationMode(word.lower())
    except ValueError:
        raise BadInput(f"{word!r} is not a way of registration", hint="use now, deferred or jitp") from None
