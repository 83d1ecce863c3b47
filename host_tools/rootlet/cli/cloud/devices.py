"""``rootlet cloud``: what becomes of devices once they are registered, and many of them at once."""

import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.cloud import options as registering
from rootlet.cli.cloud.common import first_certificate, show_changes
from rootlet.cli.identity.options import device_subject_options
from rootlet.cli.options import (
    PATH,
    SERIAL_PORT,
    TCP_PORT,
    address_option,
    application_option,
    baud_option,
    ca_option,
    columns_option,
    days_left_option,
    days_option,
    json_option,
    key_type_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.passphrase import SecretSource, open_authority, secret_options
from rootlet.errors import BadInput, RootletError

if TYPE_CHECKING:
    from rootlet.cloud.bulk import DeviceResult
    from rootlet.cloud.registration import Certified, RegistrationRequest
    from rootlet.cloud.rotation import Prove
    from rootlet.pki.identity import DeviceIdentity
    from rootlet.pki.subject import Subject

_VERIFY = click.option("--verify", is_flag=True, help="Compare what the journal says is done with the account, too.")
_DEVICE = click.argument("device", type=PATH, metavar="DIRECTORY|CERTIFICATE")


@panels.command(epilog="\b\nExample:\n  rootlet cloud deactivate devices/sensor-1\n")
@_DEVICE
@json_option
def deactivate(device: Path, as_json: bool) -> None:
    """Deactivate a device's certificate. `activate` reverses it."""
    _set(device, "INACTIVE", as_json)


@panels.command(epilog="\b\nExample:\n  rootlet cloud activate devices/sensor-1\n")
@_DEVICE
@json_option
def activate(device: Path, as_json: bool) -> None:
    """Activate a device's certificate."""
    _set(device, "ACTIVE", as_json)


@panels.command(epilog="\b\nExample:\n  rootlet cloud revoke devices/sensor-1\n")
@_DEVICE
@json_option
def revoke(device: Path, as_json: bool) -> None:
    """Revoke a device's certificate for good."""
    _set(device, "REVOKED", as_json)


@panels.command(epilog="\b\nExample:\n  rootlet cloud delete devices/sensor-1 --with-thing\n")
@_DEVICE
@click.option("--with-thing", is_flag=True, help="Delete its thing too, where no other certificate holds it.")
@json_option
def delete(device: Path, with_thing: bool, as_json: bool) -> None:
    """Delete a device's certificate from the account. Its files stay."""
    from rootlet.cloud import lifecycle

    done = lifecycle.delete(account.iot(), _id(device), thing=with_thing)
    show_changes(asdict(done), done.changes, "nothing to change: the account does not know it", as_json)


@panels.command(
    epilog="""\b
Examples:
  rootlet cloud rotate devices/sensor-1 --ca fleet-ca       # a new identity in devices/sensor-1/next, active and proved
  rootlet flash --identity-only --device devices/sensor-1/next    # write it to the board
  rootlet cloud rotate devices/sensor-1 --finish --port /dev/ttyUSB0
\b
Until --finish has seen the new certificate on the board, the old one stays active. Both halves may be run again.
"""
)
@click.argument("device", type=PATH)
@ca_option(type=PATH)
@click.option("--finish", is_flag=True, help="The board has the new identity: retire the old one.")
@click.option("--port", type=SERIAL_PORT, help="With --finish: the board's serial port, to read what it carries.")
@click.option("--image", type=PATH, help="With --finish: the flash image of a virtual board, in place of --port.")
@click.option(
    "--delete", "delete_old", is_flag=True, help="With --finish: delete the old certificate, not only switch it off."
)
@baud_option(460_800)
@address_option
@click.option("--root", "extra_root", type=PATH, help="Trust this root too when proving. [default: the sandbox's]")
@click.option("--mqtt-port", type=TCP_PORT, help="Prove at this port of the endpoint. [default: 8883, or the sandbox's]")
@click.option(
    "--no-connect", is_flag=True, help="Prove by the account's policies alone, where the endpoint is out of reach."
)
@application_option
@device_subject_options
@key_type_option("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", same="the old one's")
@days_option(None, same="the old one's")
@secret_options
@json_option
def rotate(
    device: Path,
    ca: Path | None,
    finish: bool,
    port: str | None,
    image: Path | None,
    delete_old: bool,
    baud: int,
    address: str | None,
    extra_root: Path | None,
    mqtt_port: int | None,
    no_connect: bool,
    application: str,
    subject: "Subject",
    key_type: Any,
    days: int | None,
    secret: SecretSource,
    as_json: bool,
) -> None:
    """Replace a device's certificate.

    The new one is active and proved before the old one is deactivated. It has the old one's subject, key type and days,
    unless these are given. To prove it, the policies must let it connect, and a CONNECT is made as the thing: a device that
    is connected loses its connection once, and comes back by itself.
    """
    from rootlet.cloud import rotation

    iot = account.iot()
    if finish:
        carried = _carried(port, image, baud)
        done = rotation.finish(iot, device, carried, delete=delete_old, application=application)
        show_changes(asdict(done), done.changes, f"nothing to change: {done.thing} is on its new certificate", as_json)
        return
    if ca is None:
        raise BadInput("no CA is named", hint="--ca DIRECTORY, or --finish once the board has the new identity")
    prove = _prover(iot, device / rotation.NEXT, (address, mqtt_port, extra_root, application, not no_connect))
    profile = rotation.Profile(subject if subject.given() else None, key_type, days)
    with open_authority(ca, secret) as authority:
        done = rotation.begin(iot, device, authority, prove, profile)
    show_changes(asdict(done), done.changes, f"nothing to change: the new certificate {done.new} is active", as_json)
    if not as_json:
        how = (
            "accepted a CONNECT" if done.proved_by == "connect" else "would accept it by its policies (no CONNECT was made)"
        )
        err.print(f"proved: the cloud {how} as {done.thing}; write {device / rotation.NEXT} to the board, then run --finish")


def _prover(iot: Any, place: Path, given: "tuple[str | None, int | None, Path | None, str, bool]") -> "Prove":
    """The proof at the address, port and root ``given``, which are the sandbox's where they are not given."""
    from rootlet.cloud import proving

    address, port, root, application, connect = given
    if sandbox := account.sandbox():
        address, port, root = address or "127.0.0.1", port or sandbox.mqtt_port, root or Path(sandbox.root)
    proof = proving.Proof(address, port or 8883, root, application, connect)
    return lambda new: proving.prove(iot, new, place, proof)


def _carried(port: str | None, image: Path | None, baud: int) -> str:
    from rootlet.board import flasher, inspect_image
    from rootlet.cli.board.connection import connected, restarted

    if (port is None) == (image is None):
        raise BadInput("--finish must read the board", hint="name its --port (or the --image of a virtual board)")
    if image:
        identity = inspect_image.inspect(inspect_image.read(image)).identity
    else:
        with connected(port, baud) as chip:
            identity = flasher.read_identity(chip, flasher.read_table(chip))
            restarted(chip)
    if identity is None:
        raise RootletError("the board carries no identity", hint="write the new one first: rootlet flash")
    return identity.certificate_id


@panels.command(
    name="register-all",
    epilog="""\b
Examples:
  rootlet cloud register-all devices
  rootlet cloud register-all batch-7 --with-ca --policy fleet-policy
\b
Interrupted, it goes on where it stopped: what is done stands in --journal, which counts for this account and these options.
""",
)
@click.argument("directory", type=PATH)
@click.option("--journal", type=PATH, help="Default: registered.jsonl beside the devices.")
@_VERIFY
@registering.policy_options
@json_option
def register_all(
    directory: Path,
    journal: Path | None,
    verify: bool,
    permissions: dict[str, Any],
    as_json: bool,
) -> None:
    """Register every device in DIRECTORY, as fast as AWS allows.

    DIRECTORY holds device directories, or is a batch.
    """
    from rootlet.cloud.registration import RegistrationRequest

    devices = list(_identities(directory))
    wanted = RegistrationRequest(**permissions)
    _register_many(devices, journal or directory / "registered.jsonl", wanted, verify, as_json)


@panels.command(
    name="import-manifest",
    epilog="""\b
Examples:
  rootlet cloud import-manifest bundle.pem --policy fleet-policy
  rootlet cloud import-manifest modules.csv
  rootlet cloud import-manifest supplier.csv --column certificate='Device cert' --column thing='Serial no.'
  rootlet cloud import-manifest manifest.json --signer microchip-log-signer.crt
""",
)
@click.argument("manifest", type=PATH)
@click.option("--signer", "signers", type=PATH, multiple=True, help="Who may sign a Microchip manifest; repeatable.")
@columns_option
@click.option("--journal", type=PATH, help="Default: beside the manifest, .registered.jsonl added to its name.")
@_VERIFY
@registering.policy_options
@json_option
def import_manifest(
    manifest: Path,
    signers: tuple[Path, ...],
    columns: tuple[str, ...],
    journal: Path | None,
    verify: bool,
    permissions: dict[str, Any],
    as_json: bool,
) -> None:
    """Register devices that a manufacturer provisioned.

    MANIFEST is a PEM bundle, a CSV file or Microchip's signed manifest.
    """
    from rootlet.cloud import imports
    from rootlet.cloud.registration import RegistrationRequest
    from rootlet.pki.columns import parse as parse_columns

    named = parse_columns(columns, imports.COLUMNS)
    devices = imports.read(manifest, [first_certificate(signer) for signer in signers], named)
    place = journal or manifest.with_name(manifest.name + ".registered.jsonl")
    _register_many(devices, place, RegistrationRequest(**permissions), verify, as_json)


@panels.command(epilog="\b\nExample:\n  rootlet cloud audit --days-left 90\n\b\nExit: 0 nothing found, 1 something found.\n")
@days_left_option(90)
@json_option
def audit(days_left: int, as_json: bool) -> None:
    """List what is wrong with the account's certificates. Nothing is changed."""
    from rootlet.cloud import lifecycle

    found = list(lifecycle.audit(account.paced(), within=days_left, at=dt.datetime.now(dt.UTC)))
    if as_json:
        emit_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            out.print(f"{finding.kind:<10} {finding.certificate_id[:16]}… {escape(finding.text)}")
        if not found:
            out.print("nothing found")
    sys.exit(1 if found else 0)


def _register_many(devices: "list[Any]", path: Path, wanted: "RegistrationRequest", verify: bool, as_json: bool) -> None:
    from rich.progress import Progress

    from rootlet.cloud import bulk, journal, registration

    def register(iot: Any, device: "Certified") -> registration.RegistrationResult:
        return registration.register(iot, device, wanted)

    iot = account.paced()
    registration.check(iot, wanted)
    with journal.opened(path, journal.purpose(iot, wanted)) as kept:
        warning = bulk.check_journal(iot, devices, kept)
        for notice in filter(None, (kept.restarted, warning)):
            err.print(f"[yellow]{escape(notice)}[/]")
        before = sum(device.certificate_id in kept.done for device in devices)
        with Progress(console=err, disable=not err.is_terminal) as progress:
            task = progress.add_task("registering", total=len(devices), completed=0 if verify else before)
            steps = []
            for step in bulk.register_all(iot, devices, kept, register, verify=verify):
                steps.append(step)
                progress.advance(task)
    _show_many(steps, before, len(devices), kept.restarted or warning, as_json)


def _show_many(steps: "list[DeviceResult]", before: int, total: int, notice: str, as_json: bool) -> None:
    problems = [step for step in steps if step.problem]
    done = sum(not step.known for step in steps) - sum(not step.known for step in problems)
    mended = [step.thing for step in steps if step.known and step.changed]
    if as_json:
        failed = [asdict(step) for step in problems]
        emit_json({"registered": done, "before": before, "mended": mended, "failed": failed, "notice": notice})
    else:
        for step in problems:
            err.print(f"[red]{escape(step.thing)}[/]: {escape(step.problem)}")
        for thing in mended:
            err.print(f"[yellow]{escape(thing)}[/]: the account lacked a part of it, which was registered again")
        out.print(f"{done} registered, {before} already registered, {len(problems)} failed, of {total}")
    sys.exit(1 if problems else 0)


def _identities(directory: Path) -> "Iterator[DeviceIdentity]":
    from rootlet.pki import batch
    from rootlet.pki.identity import CERTIFICATE, DeviceIdentity

    if not directory.is_dir():
        raise BadInput(f"{directory} is not a directory", hint="name the one with the devices or the batch")
    singles = sorted(path.parent for path in directory.glob(f"*/{CERTIFICATE}"))
    if singles:
        yield from map(DeviceIdentity.load, singles)
    else:
        yield from batch.read(directory)


def _set(device: Path, status: Any, as_json: bool) -> None:
    from rootlet.cloud import lifecycle

    done = lifecycle.set_status(account.iot(), _id(device), status)
    show_changes(asdict(done), done.changes, f"nothing to change: the certificate is {status}", as_json)


def _id(device: Path) -> str:
    from rootlet.pki.identity import certificate_id

    return certificate_id(first_certificate(device / "device.crt" if device.is_dir() else device))


COMMANDS = (activate, deactivate, revoke, delete, rotate, register_all, import_manifest, audit)
