"""``rootlet cloud policy``: make, check and try out the policies of devices."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.cloud import options as registering
from rootlet.cli.cloud.common import pairs
from rootlet.cli.options import (
    PATH,
    application_option,
    arn_prefix_option,
    attributes_option,
    json_option,
    thing_type_option,
)
from rootlet.cli.output import emit_json, err, out
from rootlet.errors import BadInput, RootletError
from rootlet.words import are, number_of

if TYPE_CHECKING:
    from rootlet.cloud.verify import ComparedDecision
    from rootlet.policies.simulation import SimulatedConnection, Simulation


@panels.group(name="policy")
def command() -> None:
    """Render, check and verify the policies of devices."""


@command.command(
    epilog="""\b
Examples:
  rootlet cloud policy render --stream climate --stream power > policy.json
  rootlet cloud policy render --app my_app/ > policy.json
  rootlet cloud policy render --service shadow > shadow.json
  rootlet cloud policy render --customer Acme=acme --customer "Globex Ltd=globex"
  rootlet cloud policy render --customer acme --customer globex --customer initech
"""
)
@application_option
@registering.streams
@registering.app
@click.option(
    "--service", callback=registering.known, help="Of this service instead: shadow, shadow:NAME or jobs. Attach it as well."
)
@click.option(
    "--customer",
    "customers",
    multiple=True,
    metavar="ORGANIZATION[=APPLICATION]",
    help="One policy for several customers: the organization of the CA that issues to one, and its application; repeatable.",
)
@arn_prefix_option()
def render(
    application: str,
    streams: tuple[str, ...],
    app: Path | None,
    service: str | None,
    customers: tuple[str, ...],
    arn_prefix: str | None,
) -> None:
    """Print the least-privilege policy of a fleet.

    It names the topics that a device uses, and has no wildcard.

    A service of AWS IoT that the application uses has a policy of its own, the same for all applications: all topics by
    name are more than the 2048 characters of one policy. Only the ids of jobs have a wildcard: nobody knows them beforehand.

    With --customer a device may use its customer's topics only: the policy asks for the organization of the CA that
    issued its certificate. Customers whose application is called as their organization share one set of statements, so
    that many fit into the 2048 characters of a policy.
    """
    from rootlet.policies import rendering

    wanted = registering.wanted(application, streams, (), app)
    if service and customers:
        raise BadInput("a service's policy is the same for all customers", hint="render it without --customer")
    prefix = arn_prefix or account.arn_prefix()
    if service:
        document = rendering.render_service(prefix, service)
    elif customers:
        named = dict((entry.rpartition("=")[::2] if "=" in entry else (entry, entry)) for entry in customers)
        document = rendering.render_customers(prefix, named, wanted.streams, wanted.topics)
    else:
        document = rendering.render(prefix, application, wanted.streams, wanted.topics)
    emit_json(document)
    for name in () if service else wanted.services:
        err.print(f"the application uses {name}, whose policy is: rootlet cloud policy render --service {name}")


@command.command(
    epilog="""\b
Examples:
  rootlet cloud policy check policy.json
  rootlet cloud policy check rootlet-leaf
  rootlet cloud policy check policy.json rootlet_shadow --app my_app/
"""
)
@click.argument("policies", nargs=-1, required=True, metavar="POLICY...")
@registering.app
@application_option
@json_option
def check(policies: tuple[str, ...], app: Path | None, application: str, as_json: bool) -> None:
    """Warn about what is too wide in policies.

    POLICY is a file or the name of a policy in AWS IoT; Device Advisor warns about the same. With --app it is also an
    error where all of them together deny what the application does. Exits with 1 where there is an error.
    """
    from dataclasses import asdict

    from rootlet.policies import application_check

    read = registering.readable(app) if app else None
    found = application_check.check(dict(map(_document, policies)), application, read)
    if as_json:
        emit_json([asdict(finding) for finding in found])
    for finding in [] if as_json else found:
        colour = "red" if finding.level == "error" else "yellow"
        out.print(f"[{colour}]{finding.level}[/]: {escape(finding.statement)}: {escape(finding.what)}")
        out.print(f"  {escape(finding.hint)}")
    if not found and not as_json:
        out.print(f"{escape(', '.join(policies))}: nothing found")
    if bad := sum(finding.level == "error" for finding in found):
        what = f"{bad} of {number_of(len(found), 'finding')} {are(bad, 'is an error', 'are errors')}"
        raise RootletError(what, hint="correct the policy, and check it again")


def _document(policy: str) -> tuple[str, str]:
    """A policy's name and text, from a file or from AWS IoT."""
    from rootlet.cloud import attached_policies
    from rootlet.files import read_input

    path = Path(policy)
    if path.exists():
        return path.name, read_input(path, "policy").decode(errors="replace")
    if "/" in policy or policy.endswith(".json"):
        raise BadInput(f"policy not found: {policy}", hint="check the path")
    return policy, attached_policies.read_policy(account.iot(), policy)


@command.command(
    epilog="""\b
Examples:
  rootlet cloud policy simulate devices/sensor-1 publish dt/leaf/sensor-1/climate
  rootlet cloud policy simulate devices/sensor-1 connect sensor-1 --persistent --will-topic dt/leaf/sensor-1/status
  rootlet cloud policy simulate devices/sensor-1 subscribe 'cmd/#' --policy-file policy.json
"""
)
@click.argument("certificate")
@click.argument("action")
@click.argument("target")
@click.option(
    "--policy-file",
    "policies",
    multiple=True,
    type=PATH,
    help="Decide by this file and ask nothing of AWS; repeatable.",
)
@click.option("--client-id", help="The name of the certificate's thing unless given.")
@click.option("--thing", help="With --policy-file: the certificate's thing; its common name unless given.")
@thing_type_option
@attributes_option
@click.option("--persistent", is_flag=True, help="The connection asks for a persistent session, as leaf does.")
@click.option("--will-topic", help="The topic of the connection's last will.")
@click.option("--source-ip", help="The address that the device connects from.")
@click.option("--domain-name", help="The server name that the device connects to.")
@arn_prefix_option()
@json_option
def simulate(
    certificate: str,
    action: str,
    target: str,
    policies: tuple[Path, ...],
    client_id: str | None,
    thing: str | None,
    thing_type: str | None,
    attributes: tuple[str, ...],
    persistent: bool,
    will_topic: str | None,
    source_ip: str | None,
    domain_name: str | None,
    arn_prefix: str | None,
    as_json: bool,
) -> None:
    """Show whether a device may do ACTION to TARGET, and why.

    CERTIFICATE is a device's directory, a PEM file or a certificate ID.
    ACTION is connect, publish, retainpublish, subscribe or receive, or one over HTTPS such as getretainedmessage or
    getthingshadow. TARGET is what it asks about: a client ID, a topic, a topic filter, a thing (THING/SHADOW for a named
    shadow), or * for an action that lists.
    Exits with 1 where it is denied.
    """
    from dataclasses import replace

    from rootlet.policies import simulation

    described = {"thing": thing, "thing_type": thing_type, "attributes": pairs(attributes), "prefix": arn_prefix}
    device = _connection(certificate, list(policies), client_id, described)
    device = replace(device, persistent=persistent, will_topic=will_topic, source_ip=source_ip, domain_name=domain_name)
    done = simulation.simulate(device, action, target)
    if as_json:
        emit_json(done.as_dict())
    else:
        _show(done)
    if not done.allowed:
        sys.exit(1)


@command.command(
    epilog="""\b
Examples:
  rootlet cloud policy verify devices/sensor-1
  rootlet cloud policy verify devices/sensor-1 --app my_app/
  rootlet cloud policy verify devices/sensor-1 --also publish fleet/news --also subscribe 'fleet/#'
\b
Exit: 0 AWS decides as Rootlet does, 1 it does not.
"""
)
@click.argument("certificate")
@application_option
@registering.streams
@registering.app
@registering.services
@click.option("--client-id", help="The name of the certificate's thing unless given.")
@click.option(
    "--also",
    nargs=2,
    multiple=True,
    metavar="ACTION TARGET",
    help="Compare this decision too, as simulate takes it; repeatable.",
)
@json_option
def verify(
    certificate: str,
    application: str,
    streams: tuple[str, ...],
    app: Path | None,
    services: tuple[str, ...],
    client_id: str | None,
    also: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """Compare Rootlet's decisions about a device with AWS's own.

    CERTIFICATE is a device's directory, a PEM file or a certificate ID. AWS is asked by TestAuthorization what it would
    decide about all that the application does, and about what is another device's. Nothing is changed.

    AWS knows no address, server name, session or last will then: it names the variables that it lacks.
    """
    from dataclasses import asdict

    from rootlet.cloud import verify as comparing

    wanted = registering.wanted(application, streams, services, app)
    found = comparing.verify(account.iot(), certificate, wanted.application, wanted.uses, also=also, client_id=client_id)
    if as_json:
        emit_json([asdict(one) | {"same": one.same} for one in found])
    for one in () if as_json else found:
        _show_compared(one)
    differing = sum(not one.same for one in found)
    if not as_json:
        out.print(f"{number_of(len(found), 'decision')}, {differing or 'none'} of them different")
    if differing:
        sys.exit(1)


def _show_compared(one: "ComparedDecision") -> None:
    what = f"{one.action} on {one.resource.split(':', 5)[-1]}"
    if one.same:
        out.print(f"[green]same[/]    {one.ours:<13} {escape(what)}")
        return
    out.print(f"[red]differs[/] {escape(what)}")
    out.print(f"  Rootlet: {one.ours}: {escape(one.reason)}")
    out.print(f"  AWS: {one.aws}{escape(': ' + ', '.join(one.policies) if one.policies else '')}")
    if one.missing:
        out.print(f"  AWS did not know {escape(', '.join(one.missing))}")


def _connection(
    certificate: str, policies: list[Path], client_id: str | None, described: dict[str, Any]
) -> "SimulatedConnection":
    """The connection that files and ``described`` describe, or where there are no files, the one that AWS has."""
    from rootlet.cloud import attached_policies
    from rootlet.policies import simulation

    if policies:
        return simulation.from_files(Path(certificate), policies, client_id=client_id, **described)
    if any(described.values()):
        what = "--thing, --thing-type, --attribute and --arn-prefix go with --policy-file"
        raise BadInput(what, hint="leave them out: AWS knows them")
    return attached_policies.from_aws(account.iot(), certificate, client_id=client_id)


def _show(done: "Simulation") -> None:
    decision = done.decision
    out.print(f"{'[green]allowed[/]' if done.allowed else '[red]denied[/]'}: {done.action} on {escape(done.resource)}")
    if decision.by:
        out.print(f"  {escape(decision.by.title)}")
        out.print(f"  which is about {escape(decision.by.resource)}")
    else:
        out.print("  no statement allows it")
        for entry in decision.considered:
            out.print(f"  not {escape(entry.statement.title)} of policy {escape(entry.policy)}: {escape(entry.why_not)}")
    for hindrance in done.hindrances:
        out.print(f"  [red]but[/] {escape(hindrance)}")
    for name, value in decision.values.items():
        out.print(f"  {escape(name)} = {'(no value)' if value is None else escape(value)}")
