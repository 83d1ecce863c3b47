"""Whether a board may have an identity of a batch. A MAC address does not prove which board it is; a certificate does.

Some vendors ship several boards with the same MAC address, and a copied flash gives two boards one identity. So the identity
on a board is compared with the one that the ledger assigned to it.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rootlet.errors import RootletError
from rootlet.factory.schema import AFTER_PROOF, State


class Refused(RootletError):  # noqa: N818 - reads as what it is
    """The board must be set aside; the line continues with the next one."""


class AlreadyDone(RootletError):  # noqa: N818 - reads as what it is
    """The board is finished: nothing is left to do."""


@dataclass(frozen=True)
class ConnectedBoard:
    """A board at a port. ``carried`` is the ID of the certificate in its flash; None for no readable one.

    ``whole``: the credential partition can be read, and its key belongs to its certificate.
    ``fixed``: its flash is encrypted with a key that only its eFuses hold, so it cannot be written again.
    ``begins_anew``: its flash is encrypted with a key that nobody holds any more, and none is in its eFuses yet.
    """

    mac: str
    carried: str | None = None
    whole: bool = True
    fixed: bool = False
    begins_anew: bool = False

    def holds(self, certificate_id: str | None) -> bool:
        """Whether the board has this certificate and its key."""
        return self.whole and self.carried is not None and self.carried == certificate_id


def check(
    board: ConnectedBoard,
    batch: str,
    batch_id: int,
    held: sa.Row[Any] | None,
    owner: sa.Row[Any] | None,
    *,
    burn_begun: bool = False,
) -> None:
    """Raise Refused or AlreadyDone unless the board may have an identity.

    ``held`` is the identity that the ledger assigned to this MAC address; ``owner`` is the one that has ``board.carried``.
    ``burn_begun`` says that a station began to write ``held`` to a board, so credentials that cannot be read may be its own.
    """
    if held is None or (held.batch_id == batch_id and _is_foreign(board, burn_begun)):
        _check_new(board, owner)
    elif held.batch_id != batch_id:
        raise Refused(
            f"the board {held.mac} is {held.thing} of another batch",
            hint=f"it is not for batch {batch}: put it with its own batch",
        )
    elif held.state == State.REVOKED:
        raise Refused(f"the board {held.mac} was {held.thing}, which is revoked", hint="finish scrapping the identity first")
    elif board.fixed and board.carried != held.certificate_id:
        raise Refused(
            f"the board {held.mac} is encrypted with an earlier identity of {held.thing}",
            hint="set it aside: no other identity can be written to it",
        )
    elif board.begins_anew and held.state in (State.ASSIGNED, State.ISSUED, State.IMAGED, State.BURNED):
        return
    elif board.carried == held.certificate_id is not None:
        if held.state in AFTER_PROOF and not board.whole:
            raise Refused(
                f"the board {held.mac} is {held.thing}, and the key in its flash is damaged",
                hint=f"set it aside, and run rootlet factory scrap {held.thing}: there is no other copy of the key",
            )
        if held.state in {State.DONE, State.WAITING}:
            raise AlreadyDone(f"the board {held.mac} is done: it is {held.thing}", hint="take the next board")
    else:
        _check_unlike(board, held, owner)


def _is_foreign(board: ConnectedBoard, burn_begun: bool) -> bool:
    return board.carried is None and not board.whole and not burn_begun


def _check_new(board: ConnectedBoard, owner: sa.Row[Any] | None) -> None:
    if board.carried is None and not board.whole:
        raise Refused(
            f"the board {board.mac} has a credential partition that cannot be read",
            hint="set it aside; to use it anyway, erase it (rootlet erase) and connect it again",
        )
    if board.carried is None or (owner is not None and owner.state == State.SCRAPPED):
        return
    if owner is not None:
        raise Refused(
            f"the board {board.mac} has the identity of {owner.thing}, which belongs to the board {owner.mac}",
            hint="set it aside: its flash was copied from another board",
        )
    raise Refused(
        f"the board {board.mac} already has an identity that is not in this ledger",
        hint="set it aside; if its identity is not needed, erase it (rootlet erase) and connect it again",
    )


def _check_unlike(board: ConnectedBoard, held: sa.Row[Any], owner: sa.Row[Any] | None) -> None:
    """The error for a known MAC address whose board does not have the identity's last certificate."""
    own_or_none = board.carried is None or (owner is not None and owner.thing == held.thing)
    leftover = owner is not None and owner.state == State.SCRAPPED
    if held.state in (State.ASSIGNED, State.ISSUED, State.IMAGED) and (own_or_none or leftover):
        return  # interrupted before or during the write
    if board.carried is None and not board.whole:
        raise Refused(
            f"the board {held.mac} was assigned {held.thing}, and its credentials cannot be read",
            hint="connect it again; if the error repeats, set it aside: it is damaged, or it is another board",
        )
    carries = "no certificate" if board.carried is None else "another certificate"
    if owner is not None and owner.thing != held.thing:
        carries = f"the certificate of {owner.thing}"
    again = "retry" if held.state == State.BURNED else "scrap"
    raise Refused(
        f"the board {held.mac} was assigned {held.thing}, and this board has {carries}",
        hint="set it aside: two boards have the same MAC address, or this one was erased. "
        f"If it was erased: rootlet factory {again} {held.thing}",
    )
