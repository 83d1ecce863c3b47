"""A ledger on each database that a factory may use, and a line on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rootlet.factory.database import Database
from support.factory_line import ca, golden, line
from support.postgres import emptied, postgresql

__all__ = ["ca", "golden", "line", "postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger can be opened."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return emptied(request.getfixturevalue("postgresql"))


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    opened = Database(where)
    yield opened
    opened.close()
