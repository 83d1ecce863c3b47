"""``rootlet device``: issue device identities."""

from pathlib import Path
from typing import get_args

import click

from rootlet.cli.output import emit_json, out
from rootlet.cli.passphrase import get_passphrase, passphrase_options


@click.group(name="device")
def command() -> None:
    """Issue and explain device identities."""


@command.command(
    epilog="""\b
Examples:
  rootlet device issue sensor-1 --ca fleet-ca
  rootlet device issue sensor-1 --ca fleet-ca --out devices --organization "Customer A" --key-type rsa-2048
"""
)
@click.argument("thing")
@click.option("--ca", required=True, type=click.Path(path_type=Path), help="The CA's directory.")
@click.option(
    "--out",
    "parent",
    type=click.Path(path_type=Path),
    default=Path("devices"),
    show_default=True,
    help="The identity goes into a directory THING in here.",
)
@click.option("--organization", "-O", help="Organization (O) in its subject.")
@click.option("--unit", help="Organizational unit (OU) in its subject.")
@click.option("--serial", help="serialNumber in its subject: the product's, not the certificate's.")
@click.option("--key-type", type=click.Choice(["ec-p256", "ec-p384", "rsa-2048"]), default="ec-p256", show_default=True)
@click.option("--days", type=int, default=10 * 365, show_default=True, help="How long it is valid.")
@passphrase_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def issue(
    thing: str,
    ca: Path,
    parent: Path,
    organization: str | None,
    unit: str | None,
    serial: str | None,
    key_type: str,
    days: int,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Make a key and a certificate for THING, signed by a CA. THING becomes the certificate's common name.

    On the host the key is PEM and not encrypted, readable by you alone (0600): it is on its way to the device.
    """
    from rootlet.pki.authority import Authority, Subject
    from rootlet.pki.identity import check_thing_name
    from rootlet.pki.keys import KeyType

    check_thing_name(thing)
    authority = Authority.load(ca, get_passphrase(passphrase_file, passphrase_fd))
    kind: KeyType = next(known for known in get_args(KeyType) if known == key_type)
    subject = Subject(organization=organization, organizational_unit=unit, serial_number=serial)
    identity = authority.issue(thing, subject=subject, key_type=kind, days=days)
    directory = parent / thing
    identity.save(directory)
    facts = {
        "thing": thing,
        "directory": str(directory),
        "certificate_id": identity.certificate_id,
        "subject": identity.certificate.subject.rfc4514_string(),
        "issuer": identity.certificate.issuer.rfc4514_string(),
        "not_after": identity.certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        emit_json(facts)
    else:
        out.print(f"device {thing}: {key_type} key and certificate in {directory}/")
        out.print(f"  issued by       {facts['issuer']}")
        out.print(f"  valid until     {identity.certificate.not_valid_after_utc:%Y-%m-%d}")
        out.print(f"  certificate id  {identity.certificate_id}")
