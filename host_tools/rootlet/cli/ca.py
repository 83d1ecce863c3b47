"""``rootlet ca``: mint and look after certificate authorities."""

from pathlib import Path
from typing import get_args

import click

from rootlet.cli.output import emit_json, out
from rootlet.cli.passphrase import get_passphrase, passphrase_options


@click.group(name="ca")
def command() -> None:
    """Mint and look after certificate authorities."""


@command.command(
    epilog="""\b
Examples:
  rootlet ca create fleet-ca --organization "Example Fleet"
  rootlet ca create fleet-ca --key-type ec-p384 --days 3650 --passphrase-file ~/.fleet-passphrase
"""
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--name", help="The CA's common name; the directory's name unless given.")
@click.option("--organization", "-O", help="Organization (O) in its subject; policies can tell customers apart by it.")
@click.option("--country", help="Country (C), two letters.")
@click.option(
    "--key-type",
    type=click.Choice(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"]),
    default="ec-p256",
    show_default=True,
)
@click.option("--days", type=int, default=20 * 365, show_default=True, help="How long it is valid.")
@passphrase_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def create(
    directory: Path,
    name: str | None,
    organization: str | None,
    country: str | None,
    key_type: str,
    days: int,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
    as_json: bool,
) -> None:
    """Mint a self-signed fleet CA into DIRECTORY: ca.crt, and ca.key encrypted with a passphrase.

    The passphrase comes from --passphrase-file, --passphrase-fd, the environment variable ROOTLET_CA_PASSPHRASE, or a
    prompt; never from an argument, which every user of the machine could read.
    """
    from rootlet.pki.authority import Authority, Subject
    from rootlet.pki.keys import KeyType

    passphrase = get_passphrase(passphrase_file, passphrase_fd, confirm=True)
    kind: KeyType = next(known for known in get_args(KeyType) if known == key_type)
    authority = Authority.create(
        directory,
        passphrase,
        name=name or directory.resolve().name,
        subject=Subject(organization=organization, country=country),
        key_type=kind,
        days=days,
    )
    certificate = authority.certificate
    facts = {
        "directory": str(directory),
        "subject": certificate.subject.rfc4514_string(),
        "key_type": key_type,
        "not_after": certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        emit_json(facts)
    else:
        out.print(f"CA {facts['subject']} ({key_type}), valid until {certificate.not_valid_after_utc:%Y-%m-%d}")
        out.print(f"  {directory}/ca.crt   its certificate: register this one with AWS IoT")
        out.print(f"  {directory}/ca.key   its key, encrypted with your passphrase; keep both safe", soft_wrap=True)
