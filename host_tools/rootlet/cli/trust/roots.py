"""``rootlet roots``: the trust anchors that an image embeds."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.options import PATH, address_option, days_left_option, json_option, timeout_option
from rootlet.cli.output import emit_json, out

if TYPE_CHECKING:
    from rootlet.trust.model import Certificate


@panels.group(name="roots")
def command() -> None:
    """List and check the roots that an image embeds."""


@command.command(
    name="list",
    epilog="""\b
Examples:
  rootlet roots list
  rootlet roots list --json
""",
)
@json_option
def list_(as_json: bool) -> None:
    """List the pinned roots. Each file is checked against its pin."""
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
    for root in roots:
        embedded = "embedded by default" if root.default else f"embedded on request: --root {root.name}"
        out.print(f"[bold]{root.name}[/]  {root.key_type}, until {root.not_after:%Y-%m-%d}, {embedded}")
        out.print(f"  SKI  {root.ski}")
        out.print(f"  pin  {root.sha256}")


@command.command(
    epilog="""\b
Examples:
  rootlet roots check
  rootlet roots check --days-left 3650 --json
\b
Exit: 0 all is well, 1 something is not.
"""
)
@days_left_option(365)
@json_option
def check(days_left: int, as_json: bool) -> None:
    """Compare the pinned roots with certifi and this machine's."""
    from rootlet.trust import stores
    from rootlet.trust.roots import load_manifest

    manifest = load_manifest()
    found = stores.check(manifest, dt.datetime.now(dt.UTC), days_left)
    missing = [root.common_name for root in stores.missing_amazon_roots(manifest)]
    if as_json:
        emit_json({"roots": [dataclasses.asdict(entry) for entry in found], "missing": missing})
    else:
        for entry in found:
            mark = "[red]NO[/]" if entry.problems else "[green]ok[/]"
            text = "; ".join([*entry.problems, *entry.notes]) or f"as pinned, in certifi, here; {entry.days_left} days left"
            out.print(f"{mark}  {entry.name:<24} {escape(text)}")
        for name in missing:
            out.print(f"[yellow]missing[/]  {escape(name)}: certifi has this root of Amazon's, the manifest has not")
    sys.exit(1 if any(entry.problems for entry in found) else 0)


@command.command(
    epilog="""\b
Examples:
  rootlet roots which a1b2c3-ats.iot.eu-west-1.amazonaws.com
  rootlet roots which --aws
"""
)
@click.argument("host", required=False, metavar="HOST[:PORT]")
@click.option("--aws", is_flag=True, help="Ask the AWS account for its endpoint.")
@click.option("--root", "extra", multiple=True, type=PATH, help="Know this root too (a sandbox's, say).")
@address_option
@timeout_option
@json_option
def which(host: str | None, aws: bool, extra: tuple[Path, ...], address: str | None, timeout: float, as_json: bool) -> None:
    """Show which roots a device must embed for an endpoint.

    Roots of the same owner that the endpoint may change to are shown too."""
    from rootlet.errors import BadInput, RootletError
    from rootlet.trust import stores
    from rootlet.trust.fetch import Offer, fetch, parse_target
    from rootlet.trust.links import link

    if bool(host) == aws:
        raise BadInput("name a HOST, or give --aws" if not aws else "--aws and a host", hint="one of them")
    if aws:
        from rootlet.cloud import registration

        host = registration.endpoint(account.iot())
    assert host
    name, port = parse_target(host)
    known = stores.pinned() | {path.name: stores.from_file(path)[0] for path in extra}
    needed: dict[str, str] = {}
    problems: list[str] = []
    for kind in ("ecdsa", "rsa"):
        try:
            served = fetch(name, port, Offer((kind,)), timeout=timeout, connect_to=address)
        except RootletError as error:
            problems.append(f"no {kind.upper()} chain: {error.what}")
            continue
        ends = [path.anchor for path in link(served.chain, list(known.values())).paths if path.anchor]
        named = [label for label, root in known.items() if root in ends]
        needed[kind] = named[0] if named else ""
        if not named:
            end = served.chain[-1].issuer if served.chain else "something that is no certificate"
            problems.append(f"the {kind.upper()} chain ends at {end}, which is no root known here")
    if not needed:
        raise RootletError(f"{host} served no chain to look at", hint="; ".join(problems))
    owners = {_organization(known[label]) for label in needed.values() if label}
    later = [label for label, root in known.items() if label not in needed.values() and _organization(root) in owners]
    if as_json:
        emit_json({"host": host, "needed": needed, "later": later, "problems": problems})
    else:
        for kind, label in needed.items():
            out.print(f"{kind.upper():<6} {escape(label) or '[red]no pinned root[/]'}")
        if later:
            out.print(f"later  {escape(', '.join(later))}: the same owner's; it may change to them")
        for problem in problems:
            out.print(f"[yellow]note[/]   {escape(problem)}")
    sys.exit(0 if all(needed.values()) else 1)


def _organization(root: "Certificate") -> str:
    return next((part for part in root.subject.split(",") if part.startswith("O=")), root.subject)
