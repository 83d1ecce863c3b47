"""``rootlet cloud``: the CAs that the account trusts, and how their devices get in by themselves."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rootlet.cli.output import emit_json, err, out
from rootlet.cli.passphrase import SecretSource, open_authority, secret_options
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from cryptography import x509

_PATH = click.Path(path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_POLICIES = click.option(
    "--policy", "policies", required=True, multiple=True, help="An existing policy that each device gets; repeatable."
)


@click.command(
    name="register-ca",
    epilog="""\b
Examples:
  rootlet cloud register-ca fleet-ca                      prove possession and register, in one go
  rootlet cloud register-ca fleet-ca --auto-registration  its devices may register themselves (JITR, JITP)
  rootlet cloud register-ca maker-ca.crt --sni-only       without proof; its devices must send SNI
\b
Where somebody else holds the CA's key:
  rootlet cloud register-ca --request                     what to send: the registration code
  rootlet ca prove-possession CODE --ca maker-ca          is theirs
  rootlet cloud register-ca maker-ca.crt --complete verification.crt
""",
)
@click.argument("ca", required=False, type=_PATH, metavar="[DIRECTORY|CERTIFICATE]")
@click.option("--request", is_flag=True, help="Print the account's registration code, and stop.")
@click.option("--complete", type=_PATH, metavar="CERTIFICATE", help="The verification certificate that came back.")
@click.option("--sni-only", is_flag=True, help="Register without proof of possession.")
@click.option(
    "--auto-registration/--no-auto-registration", default=False, help="Whether its devices may register themselves."
)
@secret_options
@_JSON
def register_ca(
    ca: Path | None,
    request: bool,
    complete: Path | None,
    sni_only: bool,
    auto_registration: bool,
    secret: SecretSource,
    as_json: bool,
) -> None:
    """Have the account trust a CA. Running it again changes nothing."""
    from rootlet.cloud import authorities, client

    iot = client.iot()
    if request:
        code = authorities.registration_code(iot)
        if as_json:
            emit_json({"registration_code": code})
        else:
            out.print(code)
            err.print(f"send it to the CA's holder, who runs: rootlet ca prove-possession {code} --ca DIRECTORY")
        return
    if ca is None:
        raise BadInput("no CA named", hint="give its directory or its certificate, or --request")
    if complete and sni_only:
        raise BadInput("--complete and --sni-only", hint="give one of them")
    certificate = _certificate(ca / "ca.crt" if ca.is_dir() else ca)
    if complete or sni_only:
        verification = _certificate(complete) if complete else None
        done = authorities.register(iot, certificate, verification=verification, auto_registration=auto_registration)
    elif not ca.is_dir():
        raise BadInput(f"{ca} is a certificate without its key", hint="use --request and --complete, or --sni-only")
    else:
        with open_authority(ca, secret) as authority:
            done = authorities.register(iot, certificate, authority=authority, auto_registration=auto_registration)
    _tell(asdict(done), done.changes, f"nothing to change: CA {done.id} is registered", as_json)


@click.command(
    name="jitr-worker",
    epilog="""\b
Examples:
  rootlet cloud jitr-worker --allow things.txt --policy rootlet-leaf
  rootlet cloud jitr-worker --issuer 8d3f… --policy rootlet-leaf --once
""",
)
@click.option("--allow", type=_PATH, help="A file: one thing's name or certificate id a line.")
@click.option("--issuer", "issuers", multiple=True, help="Devices of this CA id; repeatable.")
@_POLICIES
@click.option("--once", is_flag=True, help="Decide about those that wait now, and stop.")
def jitr_worker(allow: Path | None, issuers: tuple[str, ...], policies: tuple[str, ...], once: bool) -> None:
    """Activate devices that registered themselves (JITR), by rule. One JSON line a decision; Ctrl-C ends it."""
    from rootlet.cloud import client, jitr

    def told(decision: dict[str, Any]) -> None:
        out.file.write(json.dumps(decision) + "\n")
        out.file.flush()

    iot, wanted = client.iot(), jitr.rules(allow, issuers)
    if once:
        for decision in jitr.sweep(iot, wanted, policies):
            told(decision)
        return
    jitr.work(
        iot,
        wanted,
        policies,
        told,
        ready=lambda: err.print("listening for devices that register themselves; Ctrl-C ends it"),
    )


@click.command(
    name="jitr-template",
    epilog="""\b
Example:
  rootlet cloud jitr-template --allow things.txt --policy rootlet-leaf -o jitr.json
  aws cloudformation deploy --template-file jitr.json --stack-name jitr --capabilities CAPABILITY_IAM
""",
)
@click.option("--allow", type=_PATH, help="A file: one thing's name or certificate id a line.")
@click.option("--issuer", "issuers", multiple=True, help="Devices of this CA id; repeatable.")
@_POLICIES
@click.option("--out", "-o", "target", type=_PATH, help="Write it here instead of to stdout.")
def jitr_template(allow: Path | None, issuers: tuple[str, ...], policies: tuple[str, ...], target: Path | None) -> None:
    """The same logic as a CloudFormation template: a Lambda, its role and the IoT rule that calls it."""
    from rootlet.cloud import jitr

    _write(jitr.template(jitr.rules(allow, issuers), policies), target)


@click.group()
def jitp() -> None:
    """Devices that AWS provisions on their first connection (JITP)."""


@jitp.command(
    epilog="""\b
Example:
  rootlet cloud jitp template --policy rootlet-leaf --attribute customer={Organization} -o jitp.json
"""
)
@_POLICIES
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the thing; {Organization} and so on come from the certificate.",
)
@click.option("--thing-type")
@click.option("--group", "groups", multiple=True, help="A thing group; repeatable.")
@click.option("--out", "-o", "target", type=_PATH, help="Write it here instead of to stdout.")
def template(
    policies: tuple[str, ...],
    attributes: tuple[str, ...],
    thing_type: str | None,
    groups: tuple[str, ...],
    target: Path | None,
) -> None:
    """Make a provisioning template."""
    from rootlet.cloud import provisioning

    _write(provisioning.jitp(policies, pairs(attributes), thing_type=thing_type, groups=groups), target)


@jitp.command()
@click.argument("file", type=_PATH)
def check(file: Path) -> None:
    """Say what is wrong with a template. Exit 1 where something is."""
    from rootlet.cloud import provisioning

    problems = provisioning.check(_json(file))
    for problem in problems:
        out.print(f"{escape(str(file))} {escape(problem)}")
    if not problems:
        out.print(f"{escape(str(file))} is well")
    sys.exit(1 if problems else 0)


@jitp.command(
    epilog="""\b
Example:
  rootlet cloud jitp attach fleet-ca --template jitp.json --role arn:aws:iam::123456789012:role/JITP
"""
)
@click.argument("ca", type=_PATH, metavar="DIRECTORY|CERTIFICATE")
@click.option("--template", "file", type=_PATH, required=True)
@click.option(
    "--role", required=True, help="The ARN of the role that AWS IoT takes to provision (AWSIoTThingsRegistration)."
)
@_JSON
def attach(ca: Path, file: Path, role: str, as_json: bool) -> None:
    """Give a registered CA a template: AWS drops its devices' first connection and provisions them; then they are on."""
    from rootlet.cloud import client, provisioning

    changes = provisioning.attach(client.iot(), _certificate(ca / "ca.crt" if ca.is_dir() else ca), _json(file), role)
    _tell({"changes": changes}, changes, "nothing to change: the CA has this template", as_json)


@click.command(
    name="claim-template",
    epilog="""\b
Example:
  rootlet cloud claim-template --policy rootlet-leaf --name fleet -o fleet.json --claim-policy claim-policy.json
""",
)
@_POLICIES
@click.option("--name", required=True, help="The template's name, which the claim policy names.")
@click.option("--thing-type")
@click.option("--group", "groups", multiple=True, help="A thing group; repeatable.")
@click.option("--arn-prefix", default="arn:aws:iot:REGION:ACCOUNT", show_default=True, help="For the claim policy.")
@click.option("--out", "-o", "target", type=_PATH, help="Write the template here instead of to stdout.")
@click.option("--claim-policy", type=_PATH, help="Write the policy of the claim certificates here.")
def claim_template(
    policies: tuple[str, ...],
    name: str,
    thing_type: str | None,
    groups: tuple[str, ...],
    arn_prefix: str,
    target: Path | None,
    claim_policy: Path | None,
) -> None:
    """A fleet provisioning template for devices that come with a claim certificate, and the policy of such a claim."""
    from rootlet.cloud import provisioning

    _write(provisioning.claim(policies, thing_type=thing_type, groups=groups), target)
    if claim_policy:
        _write(provisioning.claim_policy(arn_prefix, name), claim_policy)


def pairs(attributes: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` each. Raises BadInput."""
    found = {}
    for attribute in attributes:
        name, equals, value = attribute.partition("=")
        if not (name and equals):
            raise BadInput(f"--attribute {attribute}: not NAME=VALUE", hint="for example site=north")
        found[name] = value
    return found


def _certificate(path: Path) -> "x509.Certificate":
    from rootlet.pki.identity import load_certificates

    return load_certificates(path)[0]


def _json(path: Path) -> Any:
    from rootlet.files import read_input

    try:
        return json.loads(read_input(path, "template"))
    except ValueError:
        raise BadInput(f"{path} is no JSON", hint="make one: rootlet cloud jitp template") from None


def _write(document: dict[str, Any], target: Path | None) -> None:
    from rootlet.files import write_atomic

    if target is None:
        emit_json(document)
    else:
        write_atomic(target, json.dumps(document, indent=2).encode() + b"\n")
        err.print(f"wrote {escape(str(target))}")


def _tell(result: dict[str, Any], changes: list[str], nothing: str, as_json: bool) -> None:
    if as_json:
        emit_json(result)
        return
    for change in changes:
        out.print(escape(change))
    if not changes:
        out.print(escape(nothing))


COMMANDS = (register_ca, jitr_worker, jitr_template, jitp, claim_template)
