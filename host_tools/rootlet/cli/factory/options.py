"""What every factory command shares: where the ledger is, and how it is opened."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rootlet.cli.options import PATH

if TYPE_CHECKING:
    from rootlet.factory.database import Database

Command = Callable[..., Any]


def ledger_option(command: Command) -> Command:
    """``--ledger``."""
    return click.option(
        "--ledger",
        "where",
        envvar="ROOTLET_LEDGER",
        default="factory.db",
        show_default=True,
        help="A file, or a postgresql:// URL where several stations share it (ROOTLET_LEDGER).",
    )(command)


def receipts_option(command: Command) -> Command:
    """``--receipts``: a directory, or None for the usual one; ``receipts_directory`` says which that is."""
    return click.option(
        "--receipts",
        type=PATH,
        envvar="ROOTLET_RECEIPTS",
        help="A directory for the stations' receipts, shared by all stations of a ledger (ROOTLET_RECEIPTS). "
        "[default: in this user's state directory]",
    )(command)


def receipts_directory(given: Path | None) -> Path:
    """Where receipts are kept."""
    from rootlet.factory import receipts

    return given or receipts.default_directory()


@contextlib.contextmanager
def opened(where: str) -> Iterator["Database"]:
    """The ledger's database."""
    from rootlet.factory.database import Database

    database = Database(where)
    try:
        yield database
    finally:
        database.close()


def station_name() -> str:
    """Return this computer's name in the ledger, where no option names it."""
    return socket.gethostname()[:64] or "station"
