"""``rootlet roots``: the trust anchors that an image embeds."""

import click
from rich.table import Table

from rootlet.cli.output import emit_json, out


@click.group(name="roots")
def command() -> None:
    """The trust anchors that an image embeds."""


@command.command(
    name="list",
    epilog="""\b
Examples:
  rootlet roots list
  rootlet roots list --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print the roots as JSON.")
def list_(as_json: bool) -> None:
    """List the pinned roots, after checking each file against its pin."""
    from rootlet.trust.roots import load_manifest

    roots = load_manifest().roots
    for root in roots:
        root.der()
    if as_json:
        emit_json(
            [
                {
                    "name": root.name,
                    "key_type": root.key_type,
                    "not_after": root.not_after.isoformat(),
                    "ski": root.ski,
                    "sha256": root.sha256,
                    "default": root.default,
                }
                for root in roots
            ]
        )
        return
    table = Table("root", "key", "expires", "embedded", box=None, pad_edge=False)
    table.add_column("SHA-256", overflow="fold")
    for root in roots:
        embedded = "by default" if root.default else "on request"
        table.add_row(root.name, root.key_type, f"{root.not_after:%Y-%m-%d}", embedded, root.sha256)
    out.print(table)
