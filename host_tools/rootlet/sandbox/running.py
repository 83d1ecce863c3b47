"""The sandboxes that run on this machine: each says in a file where it serves, and the commands find it there.

The file lies in the user's state directory (``sandboxes/<port of the API>.json``, 0600) and is locked for as long as its
sandbox lives; the kernel drops the lock whatever ends it. A file without a lock is left of a sandbox that was killed.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import platformdirs

from rootlet.errors import BadInput
from rootlet.files import SECRET_MODE, make_private_directory

POINTERS = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)
"""Who sets one of these (AWS SDKs: environment variables) has said where to: no sandbox is looked for."""


@dataclass(frozen=True)
class Facts:
    """What a client needs: ``root`` is the path of the root certificate (PEM), ``chain`` that of what the server sends."""

    endpoint: str
    mqtt_port: int
    api_url: str
    region: str
    root: str
    chain: str
    environment: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def directory() -> Path:
    """Where sandboxes say that they run."""
    return platformdirs.user_state_path("rootlet") / "sandboxes"


@contextlib.contextmanager
def announced(facts: Facts) -> Iterator[Path]:
    """Say where a sandbox serves, until the context is left; yields the file."""
    make_private_directory(directory())
    path = directory() / f"{facts.api_url.rpartition(':')[2]}.json"
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Locked before it has its name: nobody ever sees it without its lock while its sandbox runs.
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE), "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        json.dump(facts.as_dict(), stream, indent=2)
        stream.flush()
        beside.replace(path)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)


def choose(environment: Mapping[str, str]) -> Facts | None:
    """The sandbox that a command is meant for; None: what ``environment`` points at, or AWS by the SDK's own rules.

    ``AWS_ENDPOINT_URL`` names a sandbox, or something else. Any of POINTERS says AWS. Only without them is the one
    running sandbox taken. Raises BadInput where several run, or where the last one was killed.
    """
    running, left = _look()
    if url := environment.get("AWS_ENDPOINT_URL"):
        return next((facts for facts in running if facts.api_url == url.rstrip("/")), None)
    if pointer(environment):
        return None
    if len(running) > 1:
        urls = ", ".join(facts.api_url for facts in running)
        raise BadInput(f"{len(running)} sandboxes are running: {urls}", hint="choose one: export AWS_ENDPOINT_URL=URL")
    if not running and left:
        raise BadInput(
            f"the sandbox at {left[0][1].api_url} is no longer running",
            hint=f"start it again: rootlet sandbox up; for AWS set AWS_PROFILE, or remove {left[0][0]}",
        )
    return running[0] if running else None


def pointer(environment: Mapping[str, str]) -> str | None:
    """The first variable in ``environment`` that says which cloud is meant."""
    endpoints = sorted(name for name in environment if name.startswith("AWS_ENDPOINT_URL"))
    return next((name for name in (*endpoints, *POINTERS) if environment.get(name)), None)


def serving(endpoint: str, port: int) -> Facts | None:
    """The running sandbox that devices reach as ``endpoint`` and ``port``."""
    return next((facts for facts in _look()[0] if (facts.endpoint, facts.mqtt_port) == (endpoint, port)), None)


def _look() -> tuple[list[Facts], list[tuple[Path, Facts]]]:
    """Those that run, and the files of those that were killed."""
    running, left = [], []
    for path in sorted(directory().glob("*.json")):
        with contextlib.suppress(FileNotFoundError), path.open() as stream:  # ended just now
            if os.fstat(stream.fileno()).st_uid != os.getuid():
                raise BadInput(f"{path} belongs to another user", hint="remove it: it would say which root to trust")
            facts = _read(path, stream.read())
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                running.append(facts)
            else:
                left.append((path, facts))
    return running, left


def _read(path: Path, text: str) -> Facts:
    try:
        return Facts(**json.loads(text))
    except (ValueError, TypeError):
        raise BadInput(f"{path} does not describe a sandbox", hint="remove it, and start the sandbox again") from None
