"""``rootlet image``: build flash images and look into them."""

import datetime as dt
import os
from pathlib import Path

import click
from rich.markup import escape
from rich.tree import Tree

from rootlet.cli.output import emit_json, err, out


@click.group(name="image")
def command() -> None:
    """Build and inspect flash images."""


@command.command(
    epilog="""\b
Examples:
  rootlet image build --device devices/sensor-1 --config config.json --app my_app/ -o flash.bin
  rootlet image build --config config.json --app my_app.py --root amazon-root-ca-4 -o golden.bin
"""
)
@click.option("--board", "board_id", default="esp32_generic", show_default=True, help="See rootlet boards.")
@click.option(
    "--device", type=click.Path(path_type=Path), help="The identity's directory; without it, a batch's golden image."
)
@click.option("--config", "config_path", required=True, type=click.Path(path_type=Path), help="The device's config.json.")
@click.option("--app", required=True, type=click.Path(path_type=Path), help="A .py file, or a directory with main.py.")
@click.option("--root", "extra_roots", multiple=True, help="Embed this root as well; see rootlet roots list.")
@click.option("--sandbox-root", type=click.Path(path_type=Path), help="Also trust this sandbox's root. Never in a product.")
@click.option(
    "--built",
    type=int,
    help="Build time in Unix seconds, the floor of the device's clock; SOURCE_DATE_EPOCH or now unless given.",
)
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="The flash image to write (0600).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build(
    board_id: str,
    device: Path | None,
    config_path: Path,
    app: Path,
    extra_roots: tuple[str, ...],
    sandbox_root: Path | None,
    built: int | None,
    output: Path,
    as_json: bool,
) -> None:
    """Build the whole flash of a board: partition table, credentials, and the file system with leaf and the application."""
    from rootlet.board import image
    from rootlet.board.config import load_config
    from rootlet.board.definition import load_board
    from rootlet.files import write_secret
    from rootlet.pki.identity import DeviceIdentity
    from rootlet.trust.roots import load_manifest

    manifest = load_manifest()
    chosen = dict.fromkeys((*manifest.defaults(), *manifest.select(extra_roots)))
    made = image.build(
        load_board(board_id),
        load_config(config_path),
        app,
        tuple(chosen),
        identity=DeviceIdentity.load(device) if device else None,
        sandbox_root=sandbox_root,
        built=built if built is not None else _source_date(),
    )
    write_secret(output, made.flash)
    if sandbox_root:
        err.print(
            f"[bold yellow]WARNING:[/] {escape(str(output))} trusts the sandbox root {escape(str(sandbox_root))}: "
            "whoever holds its key can pose as AWS to this device. For demos and tests only."
        )
    facts = {
        "image": str(output),
        "bytes": len(made.flash),
        "vfs_bytes": made.vfs_size,
        "vfs_used": made.used,
        "files": dict(made.files),
        **made.build,
    }
    if as_json:
        emit_json(facts)
        return
    out.print(f"{escape(str(output))}: {len(made.flash)} bytes for board {board_id}")
    out.print(f"  vfs       {len(made.files)} files, {made.used} of {made.vfs_size} bytes used")
    out.print(f"  roots     {', '.join(made.build['roots'])}")
    out.print(f"  identity  {escape(str(device)) if device else 'none: a golden image'}")


@command.command(
    epilog="""\b
Examples:
  rootlet image inspect flash.bin
  rootlet image inspect flash.bin --json
"""
)
@click.argument("path", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what is in it as JSON.")
def inspect(path: Path, as_json: bool) -> None:
    """Show what is in a flash image. A private key is never shown."""
    from rootlet.board import image

    contents = image.inspect(image.read(path))
    build_facts = contents.json_file("/build.json")
    config = contents.json_file("/config.json")
    for network in config.get("wifi", []):
        network.pop("password", None)
    identity = contents.identity
    if as_json:
        emit_json(
            {
                "partitions": [vars(partition) for partition in (*contents.table, contents.vfs)],
                "identity": None
                if identity is None
                else {
                    "thing": identity.thing,
                    "certificate_id": identity.certificate_id,
                    "issuer": identity.certificate.issuer.rfc4514_string(),
                    "not_after": identity.certificate.not_valid_after_utc,
                },
                "identity_problem": contents.identity_problem,
                "build": build_facts,
                "config": config,
                "files": {name: len(data) for name, data in contents.files.items()},
            }
        )
        return
    tree = Tree(escape(str(path)))
    flash = tree.add("partitions")
    for partition in (*contents.table, contents.vfs):
        flash.add(f"0x{partition.offset:06x} 0x{partition.size:06x} {escape(partition.label)}")
    who = tree.add("identity")
    if identity is None:
        who.add(escape(contents.identity_problem or "none"))
    else:
        who.add(f"thing {escape(identity.thing)}")
        who.add(f"certificate id {identity.certificate_id}")
        who.add(f"issued by {escape(identity.certificate.issuer.rfc4514_string())}")
        who.add(f"valid until {identity.certificate.not_valid_after_utc:%Y-%m-%d}")
    facts = tree.add("build")
    for key, value in build_facts.items():
        shown = dt.datetime.fromtimestamp(value, dt.UTC).isoformat() if key == "built" else value
        facts.add(f"{key}: {escape(str(shown))}")
    settings = tree.add("config")
    for key, value in config.items():
        settings.add(f"{key}: {escape(str(value))}")
    listing = tree.add("files")
    for name, data in sorted(contents.files.items()):
        listing.add(f"{escape(name)}  {len(data)}")
    out.print(tree, no_wrap=True, overflow="ignore", crop=False)


def _source_date() -> int | None:
    """The convention of reproducible builds."""
    value = os.environ.get("SOURCE_DATE_EPOCH")
    return int(value) if value else None
