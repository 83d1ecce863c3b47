"""``rootlet device``: issue device identities, one or many, or take over those that came with a module."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud.explain import command as explain
from rootlet.cli.identity import request as csr_command
from rootlet.cli.identity.options import device_subject_options, subject_options
from rootlet.cli.options import (
    PATH,
    ca_option,
    columns_option,
    days_option,
    json_option,
    key_type_option,
    output_option,
    thing_name_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.cli.passphrase import SecretSource, open_authority, secret_options
from rootlet.cli.progress import counted
from rootlet.words import are, number_of

if TYPE_CHECKING:
    from cryptography import x509

    from rootlet.pki.certificates import PrivateKey
    from rootlet.pki.keys import KeyType
    from rootlet.pki.subject import Subject

_TABLE_OFFSET = 0x8000  # ESP-IDF's default, and MicroPython's on every board

_CA = ca_option(required=True, type=PATH)
_OUTPUT = output_option("Write into this directory: a directory for each thing.", default=Path("devices"), show_default=True)
_KEY_TYPE = key_type_option("ec-p256", "ec-p384", "rsa-2048")
_DAYS = days_option(10 * 365)
_FORCE = click.option("--force", is_flag=True, help="Where the thing has an identity already, move that aside first.")


@panels.group(name="device")
def command() -> None:
    """Issue, import and explain device identities."""


@command.command(
    epilog="""\b
Examples:
  rootlet device issue sensor-1 --ca fleet-ca
  rootlet device issue sensor-1 --ca fleet-ca --organization "Customer A" --key-type rsa-2048
  rootlet device issue --csr sensor-1.csr --ca fleet-ca
"""
)
@click.argument("thing", required=False)
@_CA
@_OUTPUT
@device_subject_options
@_KEY_TYPE
@click.option("--csr", type=PATH, help="The key is elsewhere: certify this request (PEM or DER).")
@_DAYS
@_FORCE
@secret_options
@json_option
def issue(
    thing: str | None,
    ca: Path,
    output: Path,
    subject: "Subject",
    key_type: str,
    csr: Path | None,
    days: int,
    force: bool,
    secret: SecretSource,
    as_json: bool,
) -> None:
    """Make a key and a certificate for THING, signed by a CA. THING becomes the certificate's common name.

    On the host the key is PEM and not encrypted, readable by you alone (0600): it is on its way to the device. With --csr
    the key stays where it is: the request's signature is checked, its common name must be the thing's, and the
    rest of the subject comes from the options here, never from the request.
    """
    from rootlet.errors import BadInput
    from rootlet.pki.csr import read as read_csr
    from rootlet.pki.subject import check_thing_name

    request = read_csr(csr, thing) if csr else None
    if request is None and thing is None:
        raise BadInput("no thing name is given", hint="give THING, or --csr")
    name = request.thing if request else check_thing_name(thing or "")
    directory = output / name
    _check_free(directory, force)
    with open_authority(ca, secret) as authority:
        if request:
            certificate = authority.certify(name, request.public_key, subject=subject, days=days, request=request.request)
            replaced = _set_aside(directory, force)
            _save_certificate(directory, certificate, authority.chain)
        else:
            identity = authority.issue(name, subject=subject, key_type=_key_type(key_type), days=days)
            certificate = identity.certificate
            replaced = _set_aside(directory, force)
            identity.save(directory)
        clipped = certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc
    left_out = request.left_out if request else ()
    _report(name, directory, certificate, left_out=left_out, replaced=replaced, clipped=clipped, as_json=as_json)


@command.command(
    "issue-batch",
    epilog="""\b
Examples:
  rootlet device issue-batch batch-7 --ca fleet-ca --count 10000 --pattern 'sensor-#####'
  rootlet device issue-batch batch-7 --ca fleet-ca --names names.csv --unit "Batch 7"
  rootlet device issue-batch batch-7 --ca fleet-ca --names orders.csv --column thing=Device --column serial='Serial no.'

\b
NAMES has one thing a line, or is a CSV file with the columns thing and serial:
  thing,serial
  sensor-1,SN-0001
""",
)
@click.argument("directory", type=PATH)
@_CA
@click.option("--names", type=PATH, help="A file that names the devices.")
@columns_option
@click.option("--count", type=click.IntRange(1, 10_000_000), help="How many, named by --pattern.")
@click.option("--pattern", help="A name with a run of # where the number goes, as in 'sensor-#####'.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="The first number in --pattern.")
@subject_options
@_KEY_TYPE
@_DAYS
@click.option("--workers", type=click.IntRange(1, 256), help="Processes; as many as there are cores unless given.")
@secret_options
@json_option
def issue_batch(
    directory: Path,
    ca: Path,
    names: Path | None,
    columns: tuple[str, ...],
    count: int | None,
    pattern: str | None,
    first: int,
    subject: "Subject",
    key_type: str,
    days: int,
    workers: int | None,
    secret: SecretSource,
    as_json: bool,
) -> None:
    """Issue many identities into DIRECTORY, on all cores. Interrupted? Repeat the command: it continues where it stopped.

    The batch holds private keys, readable by you alone. `rootlet device unpack` takes identities out of it.
    """
    from rootlet.errors import BadInput
    from rootlet.pki import batch
    from rootlet.pki import names as naming
    from rootlet.pki.columns import parse as parse_columns

    if (names is None) == (count is None):
        raise BadInput("the devices are named in two ways, or in none", hint="give --names, or --count and --pattern")
    if columns and not names:
        raise BadInput("--column is about the file of --names", hint="give --names, or leave --column out")
    named = parse_columns(columns, naming.COLUMNS)
    entries = naming.from_file(names, named) if names else naming.from_pattern(pattern or "", count or 0, first)
    order = batch.BatchRequest(entries, subject, _key_type(key_type), days)
    with open_authority(ca, secret) as authority, counted("issuing") as progress:
        outcome = batch.issue(
            authority, directory, order, workers=workers, progress=lambda done: progress(done, len(entries))
        )
    if as_json:
        emit_json({"directory": str(directory), **vars(outcome)})
        return
    for name in outcome.replaced:
        err.print(f"[yellow]a part was damaged[/]: it was completed; as it was, it is kept as {escape(name)}")
    kept = f", {outcome.kept} {are(outcome.kept, 'was', 'were')} there already" if outcome.kept else ""
    out.print(f"{escape(str(directory))}: {number_of(outcome.issued, 'identity')} issued{kept}")
    out.print(f"  take them out: rootlet device unpack {escape(str(directory))} {escape(entries[0][0])}")


@command.command(
    epilog="""\b
Examples:
  rootlet device unpack batch-7 sensor-00001 sensor-00002
  rootlet device unpack batch-7 --all --output devices
"""
)
@click.argument("directory", type=PATH)
@click.argument("things", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every device of the batch.")
@_OUTPUT
@json_option
def unpack(directory: Path, things: Sequence[str], everything: bool, output: Path, as_json: bool) -> None:
    """Unpack identities of a batch, each into its own directory. Those that are there already stay as they are."""
    from rootlet.errors import BadInput
    from rootlet.pki import batch
    from rootlet.pki.identity import KEY

    if bool(things) == everything:
        raise BadInput("no device is named", hint="name them, or give --all")
    identities = batch.read(directory) if everything else [batch.find(directory, thing) for thing in things]
    written, kept = 0, 0
    for identity in identities:
        if (output / identity.thing / KEY).exists():
            kept += 1
        else:
            identity.save(output / identity.thing)
            written += 1
    if as_json:
        emit_json({"directory": str(output), "written": written, "kept": kept})
    else:
        there = f", {kept} {are(kept, 'was', 'were')} there already" if kept else ""
        out.print(f"{escape(str(output))}: {number_of(written, 'identity')} unpacked{there}")


@command.command(
    "import",
    epilog="""\b
Examples, with a dump read from a module, and with what AWS IoT's console let you download:
  esptool read-flash 0xD000 0x2000 esp_secure_cert.bin
  rootlet device import esp_secure_cert.bin
  rootlet device import flash.bin --certificate-only
  rootlet device import connect_device_package.zip --thing sensor-1
  rootlet device import 1a2b3c-certificate.pem.crt --thing sensor-1
""",
)
@click.argument("source", type=PATH)
@_OUTPUT
@thing_name_option
@click.option("--certificate-only", is_flag=True, help="Leave the key where it is, as when the chip alone can use it.")
@_FORCE
@json_option
def import_(source: Path, output: Path, thing: str | None, certificate_only: bool, force: bool, as_json: bool) -> None:
    """Import an identity that a module came with, or AWS made.

    SOURCE is a dump of a module's esp_secure_cert partition, or of all its flash. Or it is a certificate that AWS IoT made,
    with its key: a directory, a ZIP archive, or the certificate's PEM file, beside which the key is looked for.

    A certificate that AWS made names no thing: give --thing. The name goes to the board with the identity.
    """
    from rootlet.pki.identity import DeviceIdentity, common_name
    from rootlet.pki.subject import choose_thing_name

    certificate, key, issuers, noted = _read_source(source, certificate_only)
    name = choose_thing_name(thing or noted, common_name(certificate))
    directory = output / name
    _check_free(directory, force)
    replaced = _set_aside(directory, force)
    if key is None:
        _save_certificate(directory, certificate, issuers, name)
    else:
        DeviceIdentity(name, certificate, key, issuers).save(directory)
    _report(name, directory, certificate, replaced=replaced, as_json=as_json)


def _read_source(
    source: Path, certificate_only: bool
) -> "tuple[x509.Certificate, PrivateKey | None, tuple[x509.Certificate, ...], str | None]":
    """Certificate, key, issuers, and the thing's name where it stands beside them. Raises BadInput or RootletError."""
    from rootlet.board import secure_cert
    from rootlet.errors import BadInput, RootletError
    from rootlet.files import read_input
    from rootlet.pki import downloads

    data = b"" if source.is_dir() else read_input(source, "dump of the flash")
    if source.is_dir() or downloads.is_download(data):
        certificate, key = downloads.read(source)
        if key is None and not certificate_only:
            raise BadInput(
                f"{source} has no key of its certificate",
                hint="put the private key beside it, which AWS hands out once; the certificate alone: --certificate-only",
            )
        return certificate, None if certificate_only else key, (), None
    partition = _credential_partition(data)
    certificate, issuers = secure_cert.to_certificates(partition)
    thing = secure_cert.to_thing(partition)
    if certificate_only:
        return certificate, None, issuers, thing
    try:
        return certificate, secure_cert.to_identity(partition).key, issuers, thing
    except RootletError as error:
        raise type(error)(error.what, hint=f"{error.hint}; the certificate alone: --certificate-only") from None


def _credential_partition(dump: bytes) -> bytes:
    """The credential partition in a dump that is either just that or the whole flash."""
    from rootlet.board import partitions

    if len(dump) <= partitions.SECURE_CERT_SIZE:
        return dump
    table = partitions.decode(dump[_TABLE_OFFSET : _TABLE_OFFSET + partitions.TABLE_SIZE])
    where = partitions.find(table, partitions.SECURE_CERT)
    return dump[where.offset : where.offset + where.size]


def _check_free(directory: Path, force: bool) -> None:
    from rootlet.pki.storage import check_vacant

    if not force:
        check_vacant(directory, "an identity", "choose another name, or --force: what is there is moved aside")


def _set_aside(directory: Path, force: bool) -> Path | None:
    from rootlet.pki.storage import set_aside

    return set_aside(directory) if force else None


def _save_certificate(
    directory: Path, certificate: "x509.Certificate", issuers: "Sequence[x509.Certificate]", thing: str | None = None
) -> None:
    from rootlet.pki.identity import certificate_files
    from rootlet.pki.storage import write_directory

    write_directory(directory, certificate_files(certificate, issuers, thing), secret=(), what="an identity")


def _key_type(name: str) -> "KeyType":
    from rootlet.pki.keys import KeyType

    kind: KeyType = next(known for known in get_args(KeyType) if known == name)
    return kind


def _report(
    thing: str,
    directory: Path,
    certificate: "x509.Certificate",
    *,
    as_json: bool,
    left_out: Sequence[str] = (),
    replaced: Path | None = None,
    clipped: bool = False,
) -> None:
    from cryptography.hazmat.primitives import hashes

    from rootlet.pki.certificates import key_name
    from rootlet.pki.subject import show_name

    facts = {
        "thing": thing,
        "directory": str(directory),
        "certificate_id": certificate.fingerprint(hashes.SHA256()).hex(),
        "subject": show_name(certificate.subject),
        "issuer": show_name(certificate.issuer),
        "key_type": key_name(certificate.public_key()),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "left_out": list(left_out),
        "replaced": str(replaced) if replaced else None,
    }
    if as_json:
        emit_json(facts)
        return
    ends = " (when its CA does)" if clipped else ""
    out.print(f"device {escape(thing)}: {facts['key_type']} certificate in {escape(str(directory))}/")
    out.print(f"  subject         {escape(show_name(certificate.subject))}")
    out.print(f"  issued by       {escape(show_name(certificate.issuer))}")
    out.print(f"  valid until     {certificate.not_valid_after_utc:%Y-%m-%d}{ends}")
    out.print(f"  certificate ID  {facts['certificate_id']}")
    if left_out:
        err.print(f"  not taken from the request: {escape(', '.join(left_out))}")
    if replaced:
        err.print(f"  the identity that was there is now in {escape(str(replaced))}/")


command.add_command(explain)
command.add_command(csr_command.command)
