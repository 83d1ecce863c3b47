"""Where a passphrase may come from: a file, a file descriptor, the environment, a prompt. Never an argument."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from rootlet.errors import BadInput
from rootlet.files import read_input

VARIABLE = "ROOTLET_CA_PASSPHRASE"

F = TypeVar("F", bound=Callable[..., Any])


def passphrase_options(function: F) -> F:
    """Add ``--passphrase-file`` and ``--passphrase-fd`` to a command."""
    function = click.option(
        "--passphrase-file", type=click.Path(path_type=Path), help="Read the CA's passphrase from a file's first line."
    )(function)
    return click.option("--passphrase-fd", type=int, help="Read it from this open file descriptor.")(function)


def get_passphrase(file: Path | None, descriptor: int | None, *, confirm: bool = False) -> bytes:
    """Return the passphrase from where the user put it; ``confirm`` asks twice at a prompt. Raises BadInput."""
    if file is not None and descriptor is not None:
        raise BadInput("--passphrase-file and --passphrase-fd together", way_out="give one of them")
    if file is not None:
        return _first_line(read_input(file, "passphrase file"), str(file))
    if descriptor is not None:
        try:
            with os.fdopen(descriptor, "rb") as stream:
                return _first_line(stream.read(), f"file descriptor {descriptor}")
        except OSError as error:
            raise BadInput(
                f"--passphrase-fd {descriptor}: {error.strerror}", way_out="open it, as in 3</path/to/file"
            ) from None
    if value := os.environ.get(VARIABLE):
        return value.encode()
    try:
        answer: str = click.prompt("Passphrase of the CA", hide_input=True, confirmation_prompt=confirm, err=True)
    except click.Abort:
        raise BadInput(
            "no passphrase given", way_out=f"type it, set {VARIABLE}, or give --passphrase-file or --passphrase-fd"
        ) from None
    return answer.encode()


def _first_line(data: bytes, where: str) -> bytes:
    line = data.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise BadInput(f"no passphrase in {where}", way_out="put it on the first line")
    return line
