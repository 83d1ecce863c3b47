"""A TLS server with any chain, and the command that looks at it."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.cli.trust import chain as cli
from support.defects import CASES, DefectCase
from support.impostor import Impostor

Look = Callable[..., Result]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    """Run ``rootlet chain`` against the server of a case, judged by its roots; more arguments go to the command."""
    running: list[Impostor] = []

    def run(case: DefectCase | str, *arguments: Any, adjust: Callable[[ssl.SSLContext], None] | None = None) -> Result:
        case = CASES[case]() if isinstance(case, str) else case
        server = Impostor(list(case.sent), case.key, adjust=adjust)
        running.append(server)
        server.__enter__()
        roots = tmp_path / "roots.pem"
        roots.write_bytes(b"".join(root.public_bytes(Encoding.PEM) for root in case.roots))
        base = [f"{case.host}:{server.port}", "--address", "127.0.0.1", "--root", str(roots), "--timeout", "5"]
        return CliRunner().invoke(cli.command, [*base, *map(str, arguments)])

    yield run
    for server in running:
        server.__exit__(None, None, None)
