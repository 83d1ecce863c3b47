"""What every factory command shares: where the ledger is, and how it is opened."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import rich_click as click

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
