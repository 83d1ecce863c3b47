"""Compares a board with the ledger."""

from dataclasses import dataclass

from rootlet.board.chip import Chip
from rootlet.factory import content, records, views
from rootlet.factory.admission import ConnectedBoard
from rootlet.factory.database import Database
from rootlet.factory.protection import plainly
from rootlet.factory.schema import AFTER_PROOF


@dataclass(frozen=True)
class Answer:
    """The answer about a board. The ledger knows ``thing`` by the board's certificate, or else by its MAC address."""

    mac: str
    thing: str | None
    problems: tuple[str, ...]


def who_is(database: Database, batch: str, chip: Chip) -> Answer:
    """The identity of a board, and its differences from the ledger. Nothing is changed."""
    board, problems = _look(database, chip)
    by_mac = views.by_mac(database, board.mac)
    by_certificate = views.by_certificate(database, board.carried) if board.carried else None
    if by_mac is None:
        problems.append(f"the ledger has no board {board.mac}")
    elif by_mac.batch != batch:
        problems.append(f"the board {board.mac} is {by_mac.thing} of batch {by_mac.batch}")
    if board.carried is None:
        if by_mac is not None and by_mac.state in AFTER_PROOF and not chip.encrypts:
            problems.append(f"it was assigned {by_mac.thing}, and has no certificate")
    elif by_certificate is None:
        problems.append(f"it has the certificate {board.carried}, which is not in this ledger")
    elif by_mac is None or by_certificate.thing != by_mac.thing:
        problems.append(f"it has the certificate of {by_certificate.thing}, the board {by_certificate.mac}")
    elif by_certificate.certificate_id != board.carried:
        problems.append(f"it has an earlier certificate of {by_certificate.thing}, which was replaced")
    if board.carried and not board.whole:
        problems.append("its key is damaged, or does not match its certificate")
    found = by_certificate or by_mac
    return Answer(board.mac, found.thing if found else None, tuple(problems))


def _look(database: Database, chip: Chip) -> tuple[ConnectedBoard, list[str]]:
    """The board, also one whose flash only it can read: that is compared with what the ledger says was written."""
    with database.reading() as connection:
        known = records.sealed(connection, chip.mac)
    if known is not None and content.holds(chip, known):
        return ConnectedBoard(chip.mac, known.certificate_id), []
    if chip.encrypts:
        return ConnectedBoard(chip.mac), ["it encrypts its flash, and that is not what the ledger says was written"]
    return plainly(chip), []
