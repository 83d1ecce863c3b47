"""The options that several groups share: one name, one meaning, one text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rootlet.errors import BadInput

Command = Callable[..., Any]

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
address_option = click.option("--address", help="Connect to this address instead of the one in DNS.")
timeout_option = click.option(
    "--timeout", type=float, default=10.0, show_default=True, help="Seconds to wait for an answer."
)


def output_option(what: str, **more: Any) -> Callable[[Command], Command]:
    """``-o/--output``: where ``what`` goes; the command gets ``output``, a Path (or None, which means stdout)."""
    return click.option("--output", "-o", type=PATH, help=what, **more)


def days_left_option(default: int) -> Callable[[Command], Command]:
    """``--days-left``: how soon a certificate's end is worth a word."""
    return click.option(
        "--days-left",
        type=click.IntRange(0),
        default=default,
        show_default=True,
        help="Report what expires within this many days.",
    )


def listen_address(text: str, *, any_port: bool = False) -> tuple[str, int]:
    """``ADDRESS:PORT`` of ``--listen`` as its parts; port 0 (any free one) only with ``any_port``. Raises BadInput."""
    address, _, port = text.rpartition(":")
    if not address or not port.isdecimal() or not (0 if any_port else 1) <= int(port) < 65536:
        raise BadInput(f"--listen {text}: not of the form ADDRESS:PORT", hint="for example --listen 192.168.1.20:8883")
    return address.removeprefix("[").removesuffix("]"), int(port)
