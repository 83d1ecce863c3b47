"""``rootlet roots``: the trust anchors that an image embeds, Amazon's and a project's own."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels, project_roots
from rootlet.cli.cloud import account
from rootlet.cli.options import PATH, address_option, days_left_option, json_option, timeout_option
from rootlet.cli.output import emit_json, out
from rootlet.cli.project_roots import PIN, roots_option
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.trust.roots import PinnedRoot


@panels.group(name="roots")
def command() -> None:
    """Pin, list and check the roots that an image embeds."""


@command.command(
    name="list",
    epilog="""\b
Examples:
  rootlet roots list
  rootlet roots list --json
""",
)
@roots_option
@json_option
def list_(project: Path | None, as_json: bool) -> None:
    """List the pinned roots, Amazon's and the project's own. Each file is checked against its pin."""
    from rootlet.trust.own_roots import with_own

    roots = with_own(project_roots.found(project)).roots
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
                    "own": root.own,
                }
                for root in roots
            ]
        )
        return
    for root in roots:
        out.print(f"[bold]{escape(root.name)}[/]  {root.key_type}, until {root.not_after:%Y-%m-%d}, {_embedded(root)}")
        out.print(f"  SKI  {root.ski}")
        out.print(f"  pin  {root.sha256}")


def _embedded(root: "PinnedRoot") -> str:
    if root.own:
        return f"your own, embedded always: {escape(str(root.path))}"
    return "embedded by default" if root.default else f"embedded on request: --root {root.name}"


@command.command(
    epilog="""\b
Examples:
  rootlet roots add partner-root.pem --pin 8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e
  rootlet roots add ca/root.pem --pin 8e:cd:e6:88:… --name broker --roots product/roots.toml
"""
)
@click.argument("file", type=PATH)
@click.option("--pin", "sha256", required=True, metavar="SHA256", help=PIN)
@click.option("--name", help="What the device's log calls it. [default: the file's name]")
@roots_option
@json_option
def add(file: Path, sha256: str, name: str | None, project: Path | None, as_json: bool) -> None:
    """Pin a root of your own for each image of the project.

    It is written into the project's roots.toml. Get the pin from who runs the CA, on another way than the file. Running it
    again changes nothing.
    """
    from rootlet.trust import own_roots

    root = own_roots.pin(file, sha256, name)
    place = project or Path(own_roots.PROJECT_FILE)
    added = own_roots.add(place, root)
    if as_json:
        emit_json({"name": root.name, "sha256": root.sha256, "roots": str(place), "added": added})
    elif added:
        out.print(f"{escape(str(place))}: pinned {escape(root.name)}, {root.key_type}, until {root.not_after:%Y-%m-%d}")
    else:
        out.print(f"nothing to change: {escape(str(place))} pins {escape(root.name)}")


@command.command(
    epilog="""\b
Examples:
  rootlet roots check
  rootlet roots check --days-left 3650 --json
  rootlet roots check --store root_store.textproto --store certdata.txt    # Chromium's and Mozilla's
\b
Exit: 0 nothing is wrong, 1 something is.
"""
)
@days_left_option(365)
@click.option("--store", "files", type=PATH, multiple=True, help="Compare with this root store, too; repeatable.")
@roots_option
@json_option
def check(days_left: int, files: tuple[Path, ...], project: Path | None, as_json: bool) -> None:
    """Compare the pinned roots with the stores of browsers.

    It reports what expires, what was withdrawn, distrusted, reissued or renamed, and Amazon's roots that are not pinned.
    certifi is Mozilla's store. --store is a PEM bundle, Chromium's root_store.textproto, Mozilla's certdata.txt, or a CSV
    report of CCADB.
    """
    from rootlet.trust import root_stores, stores
    from rootlet.trust.own_roots import with_own

    manifest = with_own(project_roots.found(project))
    more = [root_stores.read(file) for file in files]
    found = stores.check(manifest, dt.datetime.now(dt.UTC), days_left, more)
    missing = stores.missing_amazon_roots(manifest, more)
    if as_json:
        emit_json({"roots": [dataclasses.asdict(entry) for entry in found], "missing": missing})
    else:
        good = ", ".join(["as pinned", "in certifi", *(f"in {store.name}" for store in more), "here"])
        for entry in found:
            mark = "[red]NO[/]" if entry.problems else "[green]ok[/]"
            text = "; ".join([*entry.problems, *entry.notes]) or f"{good}; {number_of(entry.days_left, 'day')} left"
            out.print(f"{mark}  {entry.name:<24} {escape(text)}")
        for name in missing:
            out.print(f"[yellow]missing[/]  {escape(name)}: a store has this root of Amazon, the manifest does not")
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
    from rootlet.errors import BadInput
    from rootlet.trust import stores
    from rootlet.trust.needed import needed_roots
    from rootlet.trust.own_roots import with_own

    if bool(host) == aws:
        raise BadInput(
            "name a HOST, or give --aws" if not aws else "--aws and a host exclude each other", hint="give one of them"
        )
    if aws:
        from rootlet.cloud import registration

        host = registration.endpoint(account.iot())
    known = stores.pinned(with_own(project_roots.found(None))) | {path.name: stores.from_file(path)[0] for path in extra}
    found = needed_roots(host or "", known, timeout=timeout, address=address)
    if as_json:
        emit_json({"host": host, **vars(found)})
    else:
        for kind, label in found.needed.items():
            out.print(f"{kind.upper():<6} {escape(label) or '[red]no pinned root[/]'}")
        if found.later:
            out.print(f"later  {escape(', '.join(found.later))}: the same owner's, to which it may change")
        for problem in found.problems:
            out.print(f"[yellow]note[/]   {escape(problem)}")
    sys.exit(0 if found.known else 1)
