"""A board in hand: who is it, and does the ledger agree?"""

from dataclasses import dataclass

from rootlet.board.chip import Chip
from rootlet.factory import views
from rootlet.factory.database import Database
from rootlet.factory.schema import AFTER_PROOF
from rootlet.factory.station import recognize


@dataclass(frozen=True)
class Answer:
    """``thing`` is what the board's certificate says in the ledger, or else its MAC address."""

    mac: str
    thing: str | None
    problems: tuple[str, ...]


def who_is(database: Database, batch: str, chip: Chip) -> Answer:
    """Compare a board with the ledger; nothing on either side changes."""
    board = recognize(chip)
    by_mac = views.by_mac(database, board.mac)
    by_certificate = views.by_certificate(database, board.carried) if board.carried else None
    problems = []
    if by_mac is None:
        problems.append(f"the ledger has no board {board.mac}")
    elif by_mac.batch != batch:
        problems.append(f"the board {board.mac} is {by_mac.thing} of batch {by_mac.batch}")
    if board.carried is None:
        if by_mac is not None and by_mac.state in AFTER_PROOF:
            problems.append(f"it was made {by_mac.thing}, and carries no certificate")
    elif by_certificate is None:
        problems.append(f"it carries the certificate {board.carried}, which this ledger never issued")
    elif by_mac is None or by_certificate.thing != by_mac.thing:
        problems.append(f"it carries the certificate of {by_certificate.thing}, the board {by_certificate.mac}")
    elif by_certificate.certificate_id != board.carried:
        problems.append(f"it carries an earlier certificate of {by_certificate.thing}, which was replaced")
    if board.carried and not board.whole:
        problems.append("its key is damaged, or not its certificate's")
    found = by_certificate or by_mac
    return Answer(board.mac, found.thing if found else None, tuple(problems))
