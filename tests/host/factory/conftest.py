"""A ledger on each database that a factory may use; the PostgreSQL cluster is the tests' own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rootlet.board import image
from rootlet.board.definition import load_board
from rootlet.factory.database import Database
from rootlet.pki.authority import Authority, Subject
from rootlet.trust.roots import load_manifest
from support.factory_line import PASSPHRASE, Line

_UNPRIVILEGED = "postgres"


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    beside = shutil.which("initdb")
    return found[-1].parent if found else Path(beside).parent if beside else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql): nothing was shown about a shared ledger")
    directory = Path(tempfile.mkdtemp(prefix="rootlet-pg-"))
    prefix: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(directory, user.pw_uid, user.pw_gid)
        prefix = ["runuser", "-u", _UNPRIVILEGED, "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(binaries / program), *arguments]
        subprocess.run(command, check=True, cwd=directory, stdout=subprocess.DEVNULL, timeout=60)

    # A socket in a directory of our own and no TCP: no port to collide with another test process's.
    data = str(directory / "data")
    run("initdb", "-D", data, "-A", "trust", "-U", "rootlet", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={directory}"
    run("pg_ctl", "-D", data, "-w", "-l", str(directory / "log"), "-o", options, "start")
    try:
        yield f"postgresql://rootlet@/postgres?host={directory}"
    finally:
        run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty ledger can be opened."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    import psycopg

    url: str = request.getfixturevalue("postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    opened = Database(where)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA whose passphrase is support.factory_line's."""
    directory = tmp_path_factory.mktemp("factory-pki") / "fleet-ca"
    Authority.create(directory, PASSPHRASE.encode(), name="Line CA", subject=Subject(organization="Tests"))
    return directory


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("application") / "blink.py"
    source.write_text("print('application runs')\n")
    config = {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com"}
    board = load_board("esp32_generic")
    return image.build(board, config, source, load_manifest().defaults(), built=1_790_000_000).flash


@pytest.fixture
def line(tmp_path: Path, ca: Path, golden: bytes) -> Iterator[Line]:
    """A line whose boards carry the golden image already."""
    with Line(tmp_path, ca, None, golden) as made:
        yield made
