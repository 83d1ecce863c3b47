"""The ledger's database: SQLite in WAL mode by default, PostgreSQL where several stations share a batch."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import ArgumentError, DBAPIError

from rootlet.errors import BadInput, RootletError

_MIGRATION_LOCK = 0x524F4F54  # any number that all stations agree on: PostgreSQL's advisory lock while migrating
_BUSY_SECONDS = 30
_NETWORK = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""libpq's parameters, in seconds: a lost network connection is noticed before an operator loses patience."""


class LedgerUnavailable(RootletError):  # noqa: N818 - reads as what it is
    """The database cannot be used now. The board is not the cause, and a later attempt may succeed."""


class Database:
    """A migrated database. ``where`` is a path (SQLite) or a ``postgresql://`` URL.

    Raises BadInput if ``where`` is neither, LedgerUnavailable while the database cannot be reached.
    """

    def __init__(self, where: str | Path) -> None:
        self._engine, self.where = _engine(where)
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config = Config()
            config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @property
    def place(self) -> str:
        """Where the database is, whatever directory a command runs in; without a password."""
        return self.where if self._engine.dialect.name == "postgresql" else str(Path(self.where).resolve())

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that may write. On SQLite it has the write lock from its start."""
        with self._transaction(write=True) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads one consistent state of the ledger."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[sa.Connection]:
        options: dict[str, Any] = {"rootlet_write": write}
        if self._engine.dialect.name == "postgresql" and not write:
            options["isolation_level"] = "REPEATABLE READ"
        try:
            with self._engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except sa.exc.IntegrityError:
            raise
        except DBAPIError as error:
            cause = str(error.orig).splitlines()[0]
            raise LedgerUnavailable(
                f"the ledger {self.where} cannot be used: {cause}",
                hint="make the database reachable and run the command again; every finished step is kept",
            ) from None

    def close(self) -> None:
        self._engine.dispose()


def _engine(where: str | Path) -> tuple[sa.Engine, str]:
    if isinstance(where, str) and "://" in where:
        try:
            url = sa.make_url(where)
        except (ArgumentError, ValueError):
            # Neither chained nor quoted: the URL may contain a password.
            raise BadInput("the ledger's URL is not valid", hint="postgresql://user@host/database") from None
        if url.get_backend_name() != "postgresql":
            raise BadInput(
                f"a ledger on {url.get_backend_name()} is not supported",
                hint="name a file (SQLite) or a postgresql:// URL",
            )
        engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, connect_args=_NETWORK, pool_timeout=_BUSY_SECONDS
        )
        return engine, url.render_as_string(hide_password=True)
    path = Path(where)
    try:
        # Created here first, with a mode that keeps other users out.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise BadInput(f"the ledger {path} cannot be opened: {error.strerror}", hint="give another file") from None
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine, str(path)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is emitted below
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: Any) -> None:
    # While another station does the same to a new file, SQLite says SQLITE_BUSY at once here: its busy timeout does not
    # cover the change of the journal's mode (SQLite: sqlite3_busy_handler).
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("rootlet_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
