"""Which cloud a command talks to: what the environment points at, the running sandbox, or AWS; said once on stderr."""

import os
from typing import TYPE_CHECKING

from rich.markup import escape

from rootlet.cli.output import err

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from rootlet.sandbox.running import Facts

_said = False


def sandbox() -> "Facts | None":
    """The sandbox that this command is meant for. boto3 is pointed at it, and what is used is said."""
    global _said
    from rootlet.cloud import client
    from rootlet.sandbox import running

    found = running.choose(os.environ)
    if found:
        # The account of a sandbox is nobody's: only what the user has not set is filled in.
        for name, value in found.environment.items():
            os.environ.setdefault(name, value)
    if not _said:
        text = f"the sandbox at {found.api_url}" if found else client.whereabouts()
        err.print(f"[dim]using {escape(text)}[/]")
        _said = True
    return found


def iot() -> "IoTClient":
    """The control plane of the cloud that this command is meant for. Raises BadInput where none is configured."""
    from rootlet.cloud import client

    sandbox()
    return client.iot()


def paced() -> "IoTClient":
    """As ``iot``, at the pace that AWS allows."""
    from rootlet.cloud import bulk

    sandbox()
    return bulk.paced()


def arn_prefix() -> str:
    """What ARNs begin with in that cloud."""
    from rootlet.cloud import client

    sandbox()
    return client.arn_prefix()
