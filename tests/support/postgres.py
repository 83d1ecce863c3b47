"""A PostgreSQL cluster of the tests' own (Debian: postgresql)."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_UNPRIVILEGED = "postgres"


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    beside = shutil.which("initdb")
    return found[-1].parent if found else Path(beside).parent if beside else None


def installed() -> bool:
    """Whether there is a PostgreSQL to start."""
    return _binaries() is not None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    if not installed():
        pytest.skip("PostgreSQL is not installed (Debian: postgresql): nothing was shown about a shared ledger")
    with cluster() as url:
        yield url


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; the URL of its database."""
    binaries = _binaries()
    assert binaries is not None, "PostgreSQL is not installed (Debian: postgresql)"
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


def emptied(url: str) -> str:
    """The cluster's database with nothing in it."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return url
