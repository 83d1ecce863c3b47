"""May this board have an identity of this batch? A MAC address is not proof of who a board is; its certificate is.

Vendors ship boards with the same MAC address more often than they should, and a copied flash makes two boards one thing.
So what a board carries is compared with what the ledger says that it was given.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from rootlet.errors import RootletError
from rootlet.factory.schema import AFTER_PROOF, State


class Refused(RootletError):  # noqa: N818 - reads as what it is
    """This board must be set aside; the line goes on with the next one."""


class AlreadyDone(RootletError):  # noqa: N818 - reads as what it is
    """This very board is finished: nothing to do."""


@dataclass(frozen=True)
class ConnectedBoard:
    """``carried`` is the id of the certificate in its flash; None where there is none, or none that can be read.

    ``whole``: all that is there can be read, and the key belongs to the certificate.
    """

    mac: str
    carried: str | None = None
    whole: bool = True

    def holds(self, certificate_id: str | None) -> bool:
        """Whether it has this certificate and its key."""
        return self.whole and self.carried is not None and self.carried == certificate_id


def check(board: ConnectedBoard, batch: str, batch_id: int, held: sa.Row[Any] | None, owner: sa.Row[Any] | None) -> None:
    """Raise Refused or AlreadyDone, or let the board pass.

    ``held`` is the identity that the ledger gave this MAC address; ``owner`` the one that ``board.carried`` is of.
    """
    if held is None:
        _check_new(board, owner)
    elif held.batch_id != batch_id:
        raise Refused(
            f"the board {held.mac} is {held.thing} of another batch",
            hint=f"it is not for batch {batch}: put it with its own batch",
        )
    elif held.state == State.REVOKED:
        raise Refused(f"the board {held.mac} was {held.thing}, which is revoked", hint="finish its scrapping first")
    elif board.carried == held.certificate_id is not None:
        if held.state in AFTER_PROOF and not board.whole:
            raise Refused(
                f"the board {held.mac} is {held.thing}, and the key in its flash is damaged",
                hint=f"set it aside, and rootlet factory scrap {held.thing}: the key was nowhere else",
            )
        if held.state in {State.DONE, State.WAITING}:
            raise AlreadyDone(f"the board {held.mac} is done: it is {held.thing}", hint="take the next board")
    else:
        _check_unlike(board, held, owner)


def _check_new(board: ConnectedBoard, owner: sa.Row[Any] | None) -> None:
    if board.carried is None and not board.whole:
        raise Refused(
            f"the board {board.mac} has something in its credential partition that cannot be read",
            hint="set it aside; if nobody needs that, erase the board (rootlet erase) and bring it back",
        )
    if board.carried is None or (owner is not None and owner.state == State.SCRAPPED):
        return
    if owner is not None:
        raise Refused(
            f"the board {board.mac} carries the identity of {owner.thing}, which belongs to the board {owner.mac}",
            hint="set it aside: its flash was copied from another board",
        )
    raise Refused(
        f"the board {board.mac} already carries an identity that is not in this ledger",
        hint="set it aside; if nobody needs that identity, erase the board (rootlet erase) and bring it back",
    )


def _check_unlike(board: ConnectedBoard, held: sa.Row[Any], owner: sa.Row[Any] | None) -> None:
    """The MAC address is known, and the board does not carry what that identity was issued last."""
    own_or_none = board.carried is None or (owner is not None and owner.thing == held.thing)
    leftover = owner is not None and owner.state == State.SCRAPPED
    if held.state in (State.ASSIGNED, State.ISSUED, State.IMAGED) and (own_or_none or leftover):
        return  # cut short before it was written, or while it was
    if board.carried is None and not board.whole:
        raise Refused(
            f"the board {held.mac} was made {held.thing}, and its credentials cannot be read",
            hint="take it out and put it in again; if that repeats, set it aside: it is damaged, or another board",
        )
    carries = "no certificate" if board.carried is None else "another certificate"
    if owner is not None and owner.thing != held.thing:
        carries = f"the certificate of {owner.thing}"
    again = "retry" if held.state == State.BURNED else "scrap"
    raise Refused(
        f"the board {held.mac} was made {held.thing}, and this board carries {carries}",
        hint="set it aside: two boards have the same MAC address, or this one was erased. "
        f"If it was erased: rootlet factory {again} {held.thing}",
    )
