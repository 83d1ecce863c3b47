"""``rootlet image``: build flash images and look into them."""

import datetime as dt
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from rootlet.cli import panels, project_roots
from rootlet.cli.board import defaults
from rootlet.cli.options import PATH, UNIX_SECONDS, board_option, flash_size_option, json_option
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.project_roots import PIN, roots_option
from rootlet.errors import BadInput
from rootlet.words import number_of

if TYPE_CHECKING:
    from rootlet.board.heap_budget import Budget
    from rootlet.board.image import Image, InPlace


@panels.group(name="image")
def command() -> None:
    """Build and inspect flash images."""


@command.command(
    epilog="""\b
Examples:
  rootlet image build --device devices/sensor-1 -o flash.bin      # for the running sandbox
  rootlet image build --device devices/sensor-1 --config config.json --app my_app/ -o flash.bin
  rootlet image build --board esp32_generic_s3 --micropython ESP32_GENERIC_S3-20260824-v1.29.0.bin \\
      --config config.json --app my_app/ -o golden.bin
  rootlet image build --config config.json --app my_app.py --root amazon-root-ca-4 -o golden.bin
  rootlet image build --config config.json --root partner-root.pem --pin 8ecde6884f3d… -o golden.bin
"""
)
@board_option(default="esp32_generic", show_default=True)
@click.option("--device", type=PATH, help="The identity's directory; without it, a batch's golden image.")
@click.option("--micropython", type=PATH, help="MicroPython's .bin for this board, to put in as well.")
@flash_size_option
@click.option(
    "--config",
    "config_path",
    type=PATH,
    help="The device's config.json. [default: the running sandbox's endpoint, and its root]",
)
@click.option("--app", type=PATH, help="A .py file, or a directory with main.py. [default: the sample]")
@click.option(
    "--root",
    "extra_roots",
    multiple=True,
    metavar="NAME|FILE",
    help="Embed this root as well: one of rootlet roots list, or your own with its --pin; repeatable.",
)
@click.option("--pin", "pins", multiple=True, metavar="SHA256", help=PIN)
@roots_option
@click.option("--sandbox-root", type=PATH, help="Also trust this sandbox's root. Never in a product.")
@click.option(
    "--romfs",
    "in_place",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Put code into a romfs partition, where it runs without RAM for it. auto: where MicroPython can do that.",
)
@click.option(
    "--built",
    type=UNIX_SECONDS,
    help="Build time in Unix seconds, the floor of the device's clock; SOURCE_DATE_EPOCH or now unless given.",
)
@click.option("--output", "-o", required=True, type=PATH, help="The flash image to write (0600).")
@json_option
def build(
    board: str,
    device: Path | None,
    micropython: Path | None,
    flash_size: int | None,
    config_path: Path | None,
    app: Path | None,
    extra_roots: tuple[str, ...],
    pins: tuple[str, ...],
    project: Path | None,
    sandbox_root: Path | None,
    in_place: "InPlace",
    built: int | None,
    output: Path,
    as_json: bool,
) -> None:
    """Build the whole flash of a board.

    It holds partition table, credentials, and the file system with leaf and the application. It trusts one of Amazon's
    roots for each kind of chain, and the project's own, which stand in roots.toml beside --config.
    """
    from rootlet.board import image
    from rootlet.board.definition import load_board
    from rootlet.files import read_input, write_secret
    from rootlet.pki.identity import DeviceIdentity
    from rootlet.trust import own_roots

    definition = load_board(board) if flash_size is None else load_board(board).with_flash(flash_size << 20)
    config, trusted = defaults.configuration(config_path, sandbox_root)
    made = image.build(
        definition,
        config,
        defaults.application(app),
        own_roots.chosen(extra_roots, pins, project_roots.found(project, config_path)),
        identity=DeviceIdentity.load(device) if device else None,
        sandbox_root=trusted,
        built=built if built is not None else _source_date(),
        micropython_bin=read_input(micropython, "MicroPython firmware") if micropython else None,
        in_place=in_place,
    )
    write_secret(output, made.flash)
    _warn(output, trusted, made)
    if as_json:
        emit_json({"image": str(output), **made.facts()})
    else:
        _show_built(output, board, made, device)


def _warn(output: Path, sandbox_root: Path | None, made: "Image") -> None:
    if sandbox_root:
        err.print(
            f"[bold yellow]WARNING:[/] {escape(str(output))} trusts the sandbox root {escape(str(sandbox_root))}: "
            "whoever holds its key can pose as AWS to this device. For demos and tests only."
        )
    if made.budget and (warning := made.budget.warning()):
        err.print(f"[bold yellow]WARNING:[/] {escape(warning)}")
    if made.native:
        names = ", ".join(f"{name.lstrip('/')} ({architecture})" for name, architecture in made.native.items())
        err.print(f"[bold yellow]note:[/] machine code in {escape(names)}: the virtual board cannot run this image")


def _show_built(output: Path, board: str, made: "Image", device: Path | None) -> None:
    out.print(f"{escape(str(output))}: {len(made.flash)} bytes for board {board}")
    out.print(f"  vfs       {number_of(len(made.files), 'file')}, {made.used} of {made.vfs_size} bytes used")
    out.print(f"  code      {made.code}")
    out.print(f"  firmware  {escape(made.build.get('micropython', 'no MicroPython: it boots on the virtual board only'))}")
    out.print(f"  memory    {escape(_memory(made.budget))}")
    out.print(f"  roots     {', '.join(made.build['roots'])}")
    out.print(f"  identity  {escape(str(device)) if device else 'none: a golden image'}")


@command.command(
    epilog="""\b
Examples:
  rootlet image identity --device devices/sensor-1 -o sensor-1.bin
"""
)
@click.option("--device", required=True, type=PATH, help="The identity's directory.")
@click.option("--output", "-o", required=True, type=PATH, help="The partition to write (0600).")
def identity(device: Path, output: Path) -> None:
    """Write one device's credential partition.

    The boards of a batch differ in these 8 KiB alone.
    """
    from rootlet.board import credentials
    from rootlet.pki.identity import DeviceIdentity

    whose = DeviceIdentity.load(device)
    size = credentials.write_file(output, whose)
    out.print(f"{escape(str(output))}: {size} bytes, the identity of {escape(whose.thing)}")


@command.command(
    epilog="""\b
Examples:
  rootlet image inspect flash.bin
  rootlet image inspect dump-of-some-board.bin --json
"""
)
@click.argument("path", metavar="IMAGE", type=PATH)
@json_option
def inspect(path: Path, as_json: bool) -> None:
    """Show what is in an image, a dump or a partition.

    IMAGE is a flash image, a dump of any board, a MicroPython .bin or a credential partition.
    A private key is never shown.
    """
    from rootlet.board import inspect_image

    facts = inspect_image.facts(inspect_image.inspect(inspect_image.read(path)))
    if as_json:
        emit_json(facts)
    else:
        # rich crops a tree to its console's width; the terminal shall wrap long lines instead.
        Console(width=1000, highlight=False, emoji=False).print(_tree(str(path), facts))


@command.command(
    epilog="""\b
Examples:
  rootlet image diff old.bin new.bin
"""
)
@click.argument("first", type=PATH)
@click.argument("second", type=PATH)
@json_option
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Show in what two images differ, down to the files. Exits with 1 where they differ."""
    from rootlet.board import inspect_image

    differences = inspect_image.diff(inspect_image.read(first), inspect_image.read(second))
    if as_json:
        emit_json([vars(difference) for difference in differences])
    else:
        for difference in differences:
            out.print(f"{escape(difference.where):<28} {escape(difference.what)}")
    if differences:
        raise SystemExit(1)


def _memory(budget: "Budget | None") -> str:
    if budget is None:
        return "no bound: the board has PSRAM"
    shares = f"leaf {budget.leaf}, the application's code {budget.application}"
    text = f"about {budget.live} of {budget.gc_area} bytes in the GC heap's first area ({shares})"
    if budget.spare is None:
        return text
    with_what = f"MicroPython {budget.release}" if budget.release else "the hungriest MicroPython known"
    left = f"has {budget.spare} bytes to spare" if budget.spare >= 0 else f"lacks {-budget.spare} bytes"
    return f"{text}; with {with_what} TLS {left}"


def _tree(title: str, facts: dict[str, Any]) -> Tree:
    tree = Tree(escape(title))
    flash = tree.add("partitions")
    for partition in facts["partitions"]:
        flash.add(f"0x{partition['offset']:06x} 0x{partition['size']:06x} {escape(partition['label'])}")
    for name in ("micropython", "identity"):
        _branch(tree.add(name), facts[name], facts[f"{name}_problem"])
    build_facts = dict(facts["build"])
    if isinstance(build_facts.get("built"), int):
        build_facts["built"] = dt.datetime.fromtimestamp(build_facts["built"], dt.UTC).isoformat()
    _branch(tree.add("build"), build_facts, None)
    _branch(tree.add("config"), facts["config"], None)
    roots = tree.add("roots")
    for name, root in facts["roots"].items():
        roots.add(f"{escape(name)}  {escape(str(root['subject']))}  until {root['not_after']:%Y-%m-%d}"
                  if root["not_after"] else escape(f"{name}  SHA-256 {root['sha256']}"))  # fmt: skip
    _branch(tree.add("files"), facts["files"], facts["vfs_problem"])
    if facts["romfs"] is not None:
        _branch(tree.add("romfs"), facts["romfs"], facts["romfs_problem"])
    return tree


def _branch(branch: Tree, values: dict[str, Any] | None, problem: str | None) -> None:
    if problem:
        branch.add(f"[yellow]{escape(problem)}[/]")
    for key, value in (values or {}).items():
        shown = f"{value:%Y-%m-%d %H:%M}Z" if isinstance(value, dt.datetime) else value
        branch.add(f"{escape(key)}: {escape(str(shown))}")


def _source_date() -> int | None:
    """The convention of reproducible builds."""
    value = os.environ.get("SOURCE_DATE_EPOCH")
    if value and not (value.isdecimal() and int(value) <= 0xFFFF_FFFF):
        raise BadInput(f"SOURCE_DATE_EPOCH is {value!r}", hint="set it to Unix seconds, or unset it")
    return int(value) if value else None
