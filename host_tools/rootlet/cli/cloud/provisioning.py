"""``rootlet cloud jitr | jitp | claim``: how devices get into the account by themselves."""

import json
import sys
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.cloud.common import first_certificate, pairs, show_changes
from rootlet.cli.options import (
    PATH,
    arn_prefix_option,
    attributes_option,
    groups_option,
    json_option,
    output_option,
    thing_type_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.errors import BadInput

_POLICIES = click.option(
    "--policy", "policies", required=True, multiple=True, help="An existing policy that each device gets; repeatable."
)


@panels.group()
def jitr() -> None:
    """Let devices register themselves, by rule (JITR)."""


@jitr.command(
    name="run",
    epilog="""\b
Examples:
  rootlet cloud jitr run --allow things.txt --policy rootlet-leaf
  rootlet cloud jitr run --issuer 8d3f… --policy rootlet-leaf --once
""",
)
@click.option("--allow", type=PATH, help="A file: one thing's name or certificate id a line.")
@click.option("--issuer", "issuers", multiple=True, help="Devices of this CA id; repeatable.")
@_POLICIES
@click.option("--once", is_flag=True, help="Decide about those that wait now, and stop.")
def jitr_worker(allow: Path | None, issuers: tuple[str, ...], policies: tuple[str, ...], once: bool) -> None:
    """Activate devices that registered themselves, by rule.

    It prints one JSON line for each decision, until Ctrl-C.
    """
    from rootlet.cloud import jitr as registering

    def report(decision: dict[str, Any]) -> None:
        out.file.write(json.dumps(decision) + "\n")
        out.file.flush()

    iot, wanted = account.iot(), registering.rules(allow, issuers)
    if once:
        for decision in registering.sweep(iot, wanted, policies):
            report(decision)
        return
    registering.work(
        iot,
        wanted,
        policies,
        report,
        ready=lambda: err.print("listening for devices that register themselves; Ctrl-C ends it"),
    )


@jitr.command(
    name="template",
    epilog="""\b
Example:
  rootlet cloud jitr template --allow things.txt --policy rootlet-leaf -o jitr.json
  aws cloudformation deploy --template-file jitr.json --stack-name jitr --capabilities CAPABILITY_IAM
""",
)
@click.option("--allow", type=PATH, help="A file: one thing's name or certificate id a line.")
@click.option("--issuer", "issuers", multiple=True, help="Devices of this CA id; repeatable.")
@_POLICIES
@output_option("Write the template to this file; to stdout unless given.")
def jitr_template(allow: Path | None, issuers: tuple[str, ...], policies: tuple[str, ...], output: Path | None) -> None:
    """Make a CloudFormation template of the same rules.

    It holds a Lambda function, its role and the IoT rule that calls it.
    """
    from rootlet.cloud import jitr as registering

    _write(registering.template(registering.rules(allow, issuers), policies), output)


@panels.group()
def jitp() -> None:
    """Let AWS provision devices on their first connection (JITP)."""


@jitp.command(
    name="template",
    epilog="""\b
Example:
  rootlet cloud jitp template --policy rootlet-leaf --attribute customer={Organization} -o jitp.json
""",
)
@_POLICIES
@attributes_option
@thing_type_option
@groups_option
@output_option("Write the template to this file; to stdout unless given.")
def jitp_template(
    policies: tuple[str, ...],
    attributes: tuple[str, ...],
    thing_type: str | None,
    groups: tuple[str, ...],
    output: Path | None,
) -> None:
    """Make a provisioning template."""
    from rootlet.cloud import provisioning

    _write(provisioning.jitp(policies, pairs(attributes), thing_type=thing_type, groups=groups), output)


@jitp.command(
    epilog="""\b
Examples:
  rootlet cloud jitp check jitp.json
  rootlet cloud jitp check jitp.json --device devices/sensor-1
"""
)
@click.argument("file", type=PATH)
@click.option("--device", type=PATH, metavar="DIRECTORY|CERTIFICATE", help="Check whether it provisions this device, too.")
def check(file: Path, device: Path | None) -> None:
    """Check a provisioning template.

    It reports what AWS refuses, and what no device's certificate could fill in. Exits with 1 where something is wrong.
    """
    from rootlet.cloud import template_check
    from rootlet.policies.simulation import read_certificate

    body = _json(file)
    problems = template_check.check(body)
    if device and not problems:
        problems = [
            f"does not provision {device}: {why}" for why in template_check.check_device(body, read_certificate(device))
        ]
    for problem in problems:
        out.print(f"{escape(str(file))} {escape(problem)}")
    if not problems:
        out.print(f"{escape(str(file))} is correct")
    sys.exit(1 if problems else 0)


@jitp.command(
    epilog="""\b
Example:
  rootlet cloud jitp attach fleet-ca --template jitp.json --role arn:aws:iam::123456789012:role/JITP
"""
)
@click.argument("ca", type=PATH, metavar="DIRECTORY|CERTIFICATE")
@click.option("--template", "file", type=PATH, required=True, help="The template, as jitp template makes it.")
@click.option(
    "--role", required=True, help="The ARN of the role that AWS IoT takes to provision (AWSIoTThingsRegistration)."
)
@json_option
def attach(ca: Path, file: Path, role: str, as_json: bool) -> None:
    """Attach a template to a registered CA.

    The role, and the policies, thing type and groups that the template names, must be there. AWS then drops the first
    connection of each of its devices, provisions the device and accepts its next one.
    """
    from rootlet.cloud import provisioning

    certificate = first_certificate(ca / "ca.crt" if ca.is_dir() else ca)
    changes, unknown = provisioning.attach(account.iot(), certificate, _json(file), role)
    for what in unknown:
        err.print(f"[yellow]note[/]: {escape(what)}")
    show_changes({"changes": changes, "unknown": unknown}, changes, "nothing to change: the CA has this template", as_json)


@panels.group()
def claim() -> None:
    """Provision devices that share a claim certificate."""


@claim.command(
    name="template",
    epilog="""\b
Example:
  rootlet cloud claim template --policy rootlet-leaf --template-name fleet -o fleet.json --claim-policy claim-policy.json
""",
)
@_POLICIES
@click.option("--template-name", required=True, help="The template's name, which the claim policy names.")
@thing_type_option
@groups_option
@arn_prefix_option(default="arn:aws:iot:REGION:ACCOUNT", show_default=True)
@output_option("Write the template to this file; to stdout unless given.")
@click.option("--claim-policy", type=PATH, help="Write the policy of the claim certificates here.")
def claim_template(
    policies: tuple[str, ...],
    template_name: str,
    thing_type: str | None,
    groups: tuple[str, ...],
    arn_prefix: str,
    output: Path | None,
    claim_policy: Path | None,
) -> None:
    """Make a template for devices that have a claim certificate.

    With --claim-policy it also writes the policy of that certificate.
    """
    from rootlet.cloud import provisioning
    from rootlet.files import check_writable

    template = provisioning.claim(policies, thing_type=thing_type, groups=groups)
    if claim_policy:
        for place in filter(None, (output, claim_policy)):
            check_writable(place)
        _write(provisioning.claim_policy(arn_prefix, template_name), claim_policy)
    _write(template, output)


def _json(path: Path) -> Any:
    from rootlet.files import read_input

    try:
        return json.loads(read_input(path, "template"))
    except ValueError:
        raise BadInput(f"{path} is not valid JSON", hint="make one: rootlet cloud jitp template") from None


def _write(document: dict[str, Any], target: Path | None) -> None:
    from rootlet.files import write_atomic

    if target is None:
        emit_json(document)
    else:
        write_atomic(target, json.dumps(document, indent=2).encode() + b"\n")
        err.print(f"wrote {escape(str(target))}")


COMMANDS = (jitr, jitp, claim)
