"""``--roots``: the file of a project's own roots, and where it is found where nobody names it."""

from pathlib import Path

import rich_click as click
from rich.markup import escape

from rootlet.cli.options import PATH
from rootlet.cli.output import err

roots_option = click.option(
    "--roots", "project", type=PATH, help="The file of the project's own roots. [default: roots.toml, where there is one]"
)
PIN = "The SHA-256 of the DER of a root of your own."


def found(given: Path | None, config: Path | None = None) -> Path | None:
    """The file ``given``, or ``roots.toml`` beside ``config`` (without one: in this directory), where it is; said once."""
    from rootlet.trust.own_roots import PROJECT_FILE, load

    path = given or (config.parent if config else Path()) / PROJECT_FILE
    if given is None and not path.exists():
        return None
    names = ", ".join(root.name for root in load(path))
    err.print(f"[dim]using the project's own roots in {escape(str(path))}: {escape(names)}[/]")
    return path
