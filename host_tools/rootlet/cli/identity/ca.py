"""``rootlet ca``: mint and look after certificate authorities."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.identity.options import subject_options
from rootlet.cli.options import PATH, ca_option, days_left_option, days_option, json_option, key_type_option, output_option
from rootlet.cli.output import emit_json, out
from rootlet.cli.passphrase import SecretSource, open_authority, parent_secret_options, secret_options
from rootlet.words import number_of

if TYPE_CHECKING:
    from cryptography import x509

    from rootlet.pki.external_key import ExternalKey
    from rootlet.pki.keys import KeyType
    from rootlet.pki.subject import Subject


@panels.group(name="ca")
def command() -> None:
    """Mint and look after certificate authorities."""


@command.command(
    epilog="""\b
Examples:
  rootlet ca create fleet-ca --organization "Example Fleet"
  rootlet ca create batch-7 --parent fleet-ca --unit "Batch 7" --days 730
  rootlet ca create fleet-ca --key-type ec-p384 --passphrase-file ~/.fleet-passphrase
  rootlet ca create fleet-ca --key-in token --token factory --pkcs11-module /usr/lib/softhsm/libsofthsm2.so
  rootlet ca create fleet-ca --key-in kms
"""
)
@click.argument("directory", type=PATH)
@click.option("--common-name", help="The CA's common name; the directory's name unless given.")
@subject_options
@key_type_option("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")
@days_option(20 * 365)
@click.option("--parent", type=PATH, help="Make an intermediate, signed by the CA in this directory.")
@click.option(
    "--path-length",
    type=click.IntRange(0, 8),
    help="How many CAs may follow below it. Unless given: 0 for an intermediate (devices only), any number for a root.",
)
@click.option(
    "--key-in",
    type=click.Choice(["file", "token", "kms"]),
    default="file",
    show_default=True,
    help="Who holds the key: an encrypted file, a PKCS#11 token (HSM), AWS KMS.",
)
@click.option("--use-key", metavar="KEY", help="Use this key, made before: a label in the token; a KMS id, ARN or alias.")
@click.option("--key-label", help="The new key's label in the token; the CA's name unless given.")
@click.option("--pkcs11-module", type=PATH, envvar="ROOTLET_PKCS11_MODULE", help="The token's PKCS#11 library.")
@click.option("--token", help="The token's label.")
@secret_options
@parent_secret_options
@json_option
def create(
    directory: Path,
    common_name: str | None,
    subject: "Subject",
    key_type: str,
    days: int,
    parent: Path | None,
    path_length: int | None,
    key_in: str,
    use_key: str | None,
    key_label: str | None,
    pkcs11_module: Path | None,
    token: str | None,
    secret: SecretSource,
    parent_secret: SecretSource,
    as_json: bool,
) -> None:
    """Mint a certificate authority into DIRECTORY.

    It writes ca.crt, and ca.key encrypted with a passphrase; or ca.json, which names the token or KMS key.

    The passphrase (or the token's PIN) comes from --passphrase-file, --passphrase-fd, the environment variable
    ROOTLET_CA_PASSPHRASE, or a prompt; never from an argument, which every user of the machine could read.
    """
    from rootlet.pki.authority import Authority
    from rootlet.pki.storage import check_vacant

    check_vacant(directory, "a CA")
    name = common_name or directory.resolve().name
    key = _Key(key_in, _key_type(key_type), use_key, key_label, pkcs11_module, token)
    with contextlib.ExitStack() as stack:
        above = stack.enter_context(open_authority(parent, parent_secret)) if parent else None
        what: dict[str, Any] = {"name": name, "subject": subject, "days": days, "path_length": path_length, "parent": above}
        Authority.check(**what)
        if external := key.external(name, secret):
            authority = Authority.create_external(directory, external, **what)
        else:
            passphrase = secret.passphrase(f"new passphrase of {directory}", confirm=True)
            authority = Authority.create(directory, passphrase, key_type=key.type, **what)
    authority.close()
    _show(directory, authority.certificate, authority.above, as_json)


@command.command(
    epilog="""\b
Example:
  rootlet ca connect fleet-ca arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/1a2b3c4d-0000-1111-2222
"""
)
@click.argument("directory", type=PATH)
@click.argument("arn")
@json_option
def connect(directory: Path, arn: str, as_json: bool) -> None:
    """Make a CA in AWS Private CA the issuer in DIRECTORY.

    AWS keeps its key and makes the certificates; DIRECTORY gets ca.crt, and ca.json, which names the CA. `rootlet device
    issue` and `issue-batch` then send AWS a request for each device, whose key stays here. No passphrase is needed.
    """
    from rootlet.pki.authority import Authority

    authority = Authority.connect(directory, arn)
    _show(directory, authority.certificate, authority.above, as_json)


@command.command(epilog="\b\nExample:\n  rootlet ca show fleet-ca")
@click.argument("directory", type=PATH)
@json_option
def show(directory: Path, as_json: bool) -> None:
    """Show a CA: its subject, its issuer and who holds its key. No passphrase is needed."""
    from rootlet.pki.authority import read_certificates

    certificate, above = read_certificates(directory)
    _show(directory, certificate, above, as_json)


@command.command(
    "prove-possession",
    epilog="""\b
Example, at the manufacturer, with the code that `rootlet cloud register-ca --request` asked for:
  rootlet ca prove-possession 66b1…9a0c --ca fleet-ca -o verification.crt
""",
)
@click.argument("code")
@ca_option(required=True, type=PATH)
@output_option("Write the certificate to this file.", default=Path("verification.crt"), show_default=True)
@secret_options
@json_option
def prove_possession(code: str, ca: Path, output: Path, secret: SecretSource, as_json: bool) -> None:
    """Prove to AWS IoT that you hold a CA's key.

    It signs a certificate whose common name is the registration CODE.

    Send the result back, with the CA's own ca.crt. Neither is secret.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    from rootlet.errors import BadInput
    from rootlet.files import write_atomic
    from rootlet.pki.subject import show_name

    # A slip of the keyboard must not put a certificate where a key was.
    if output.exists():
        raise BadInput(f"{output} already exists", hint="choose another --output, or remove it")
    if not output.parent.is_dir():
        raise BadInput(f"there is no directory {output.parent}", hint="make it, or choose another --output")
    with open_authority(ca, secret) as authority:
        certificate = authority.prove_possession(code)
    write_atomic(output, certificate.public_bytes(Encoding.PEM))
    facts = {
        "verification_certificate": str(output),
        "ca_certificate": str(ca / "ca.crt"),
        "not_after": certificate.not_valid_after_utc.isoformat(),
    }
    if as_json:
        emit_json(facts)
    else:
        out.print(f"{escape(str(output))}: signed by {escape(show_name(certificate.issuer))}")
        out.print(f"  send it back with {escape(str(ca / 'ca.crt'))}, by {certificate.not_valid_after_utc:%Y-%m-%d}")


@command.command(
    epilog="""\b
Examples:
  rootlet ca audit fleet-ca devices batch-7
  rootlet ca audit --days-left 180 --json .

\b
Exit code: 0 nothing found, 1 something found, 2 a path that is not there.
"""
)
@click.argument("paths", nargs=-1, required=True, type=PATH)
@days_left_option(90)
@json_option
def audit(paths: tuple[Path, ...], days_left: int, as_json: bool) -> None:
    """List what is wrong with the certificates in PATHS.

    PATHS are CA and device directories, batches, PEM and DER files.
    Expired, or soon to be; weak keys and signatures; keys that several certificates share; serial numbers that an issuer
    used twice; files that cannot be read. Needs no passphrase: no private key is looked at.
    """
    from rootlet.pki.audit import audit as look

    report = look(paths, within=days_left)
    if as_json:
        emit_json({"certificates": report.certificates, "findings": [vars(finding) for finding in report.findings]})
    # One line a finding and no table: lines can be searched, and a table would break them.
    for finding in () if as_json else report.findings:
        text = f"{finding.subject}: {finding.detail} ({finding.where})"
        out.print(f"[bold]{finding.kind:<17}[/]{escape(text)}")
    if not as_json:
        out.print(f"{number_of(report.certificates, 'certificate')}, {number_of(len(report.findings), 'finding')}")
    if report.findings:
        sys.exit(1)


@dataclass(frozen=True)
class _Key:
    """What the options of ``ca create`` say about the new CA's key."""

    holder: str
    type: "KeyType"
    use: str | None
    label: str | None
    module: Path | None
    token: str | None

    def external(self, name: str, secret: SecretSource) -> "ExternalKey | None":
        """The key in a token or in KMS, made or used; None: it goes into a file. Raises BadInput."""
        from rootlet.pki import kms

        if self.holder == "token":
            return self._in_token(name, secret)
        self._reject({"--key-label": self.label, "--token": self.token}, "--key-in token")
        if self.holder == "kms":
            return kms.use_key(self.use) if self.use else kms.create_key(name, self.type)
        self._reject({"--use-key": self.use}, "--key-in token or kms")
        return None

    def _in_token(self, name: str, secret: SecretSource) -> "ExternalKey":
        from rootlet.errors import BadInput
        from rootlet.pki import pkcs11

        if self.module is None or self.token is None:
            raise BadInput("--key-in token needs a token", hint="give --pkcs11-module and --token")
        pin = secret.pin(self.token)
        if self.use:
            return pkcs11.use_key(self.module, self.token, self.use, pin)
        return pkcs11.create_key(self.module, self.token, self.label or name, pin, self.type)

    @staticmethod
    def _reject(options: dict[str, str | None], needed: str) -> None:
        from rootlet.errors import BadInput

        for option, value in options.items():
            if value is not None:
                raise BadInput(f"{option} does not apply here", hint=f"leave it out, or add {needed}")


def _key_type(name: str) -> "KeyType":
    from rootlet.pki.keys import KeyType

    kind: KeyType = next(known for known in get_args(KeyType) if known == name)
    return kind


def _show(directory: Path, certificate: "x509.Certificate", above: "tuple[x509.Certificate, ...]", as_json: bool) -> None:
    from rootlet.pki.authority import read_holder
    from rootlet.pki.certificates import key_name
    from rootlet.pki.subject import show_name

    record = read_holder(directory)
    facts = {
        "directory": str(directory),
        "subject": show_name(certificate.subject),
        "issuer": show_name(certificate.issuer),
        "key_type": key_name(certificate.public_key()),
        "key": record,
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "above": [show_name(issuer.subject) for issuer in above],
    }
    if as_json:
        emit_json(facts)
        return
    valid = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    out.print(f"CA {escape(show_name(certificate.subject))} ({facts['key_type']}), {valid}")
    for issuer in above:
        out.print(f"  below {escape(show_name(issuer.subject))}")
    out.print(f"  {escape(str(directory / 'ca.crt'))}   its certificate: register this one with AWS IoT")
    if record["holder"] == "file":
        out.print(f"  {escape(str(directory / 'ca.key'))}   its key, encrypted with your passphrase; keep both safe")
    else:
        where = ", ".join(f"{name} {value}" for name, value in record.items() if name != "holder")
        out.print(f"  {escape(str(directory / 'ca.json'))}  where its key is: {record['holder']}, {escape(where)}")


panels.arrange_options(
    create,
    {
        "Subject": ["--common-name", "--organization", "--unit", "--country", "--state", "--dn-qualifier"],
        "Key": ["--key-type", "--key-in", "--use-key", "--key-label", "--pkcs11-module", "--token"],
        "Passphrase or PIN": ["--passphrase-file", "--passphrase-fd"],
        "Parent": ["--parent", "--path-length", "--parent-passphrase-file", "--parent-passphrase-fd"],
    },
)
