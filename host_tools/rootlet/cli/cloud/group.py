"""``rootlet cloud``: AWS IoT Core, or the sandbox."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account, authorities, devices, provisioning
from rootlet.cli.cloud import domain as domain_commands
from rootlet.cli.cloud import options as registering
from rootlet.cli.cloud import policy as policy_commands
from rootlet.cli.options import (
    PATH,
    application_option,
    attributes_option,
    groups_option,
    json_option,
    thing_name_option,
    thing_type_option,
    timeout_option,
)
from rootlet.cli.output import emit_json, out
from rootlet.errors import BadInput, RootletError


@panels.group(name="cloud")
def command() -> None:
    """Register devices with AWS IoT Core or a sandbox.

    Credentials, profile, region and endpoint are boto3's usual ones. A running sandbox is used where none of them is set in
    the environment; each command says which cloud it uses.
    """


command.add_command(policy_commands.command)
command.add_command(domain_commands.command)


@command.command(
    epilog="""\b
Examples:
  rootlet cloud endpoint
"""
)
@json_option
def endpoint(as_json: bool) -> None:
    """Print the host name that the account's devices connect to."""
    from rootlet.cloud import registration

    host = registration.endpoint(account.iot())
    if as_json:
        emit_json({"endpoint": host})
    else:
        out.print(host)


@command.command(
    name="register",
    epilog="""\b
Examples:
  rootlet cloud register devices/sensor-1
  rootlet cloud register devices/sensor-1 --app my_app/         # for all that my_app publishes and subscribes to
  rootlet cloud register devices/sensor-1 --stream climate --stream power
  rootlet cloud register devices/sensor-1 --with-ca --policy our-own-policy
  rootlet cloud register devices/sensor-1 --thing-type sensor --group north --attribute site=shed
  rootlet cloud register devices/module-77 --thing sensor-1     # where the certificate names no thing, or another one
""",
)
@click.argument("device", type=PATH)
@registering.policy_options
@thing_name_option
@thing_type_option
@groups_option
@attributes_option
@click.option("--activate", is_flag=True, help="Switch the certificate on again where it was deactivated.")
@click.option(
    "--update-policy",
    is_flag=True,
    help="Give a policy that allows something else a new version, for every device that has it.",
)
@json_option
def register_(
    device: Path,
    permissions: dict[str, Any],
    thing: str | None,
    thing_type: str | None,
    groups: tuple[str, ...],
    attributes: tuple[str, ...],
    activate: bool,
    update_policy: bool,
    as_json: bool,
) -> None:
    """Make the cloud trust DEVICE.

    Its certificate becomes ACTIVE, with a thing and a least-privilege policy. A thing type and thing groups are created
    where they are missing. Running it again is safe; after adding a stream to the application, add --update-policy.

    With --thing the device gets that name: its directory notes it, and an image or a board that is made from it connects
    under it. Build or flash it again where that was done before.
    """
    from dataclasses import replace

    from rootlet.cli.cloud.common import pairs
    from rootlet.cloud.registration import RegistrationRequest, ThingProperties, register
    from rootlet.pki.identity import PublicIdentity
    from rootlet.pki.subject import choose_thing_name

    known = PublicIdentity.load(device)
    identity = replace(known, thing=choose_thing_name(thing, known.thing))
    properties = ThingProperties(thing_type, groups, pairs(attributes))
    request = RegistrationRequest(**permissions, activate=activate, update_policy=update_policy, thing=properties)
    done = register(account.iot(), identity, request)
    if identity != known:
        identity.note(device)
        done.changes.append(f"noted in {device} that the thing is {identity.thing}")
    if as_json:
        emit_json(asdict(done))
        return
    for change in done.changes:
        out.print(escape(change))
    if not done.changes:
        out.print(f"nothing to change: {escape(done.thing)} is registered")


@command.command(
    name="command",
    epilog="""\b
Examples:
  rootlet cloud command sensor-1 blink
  rootlet cloud command sensor-1 echo '{"text": "hello"}'
""",
)
@click.argument("thing")
@click.argument("name")
@click.argument("arguments", default="{}")
@application_option
@timeout_option
@json_option
def send(thing: str, name: str, arguments: str, application: str, timeout: float, as_json: bool) -> None:
    """Send THING the command NAME and print its reply. ARGUMENTS are JSON."""
    from rootlet.cloud import messages

    try:
        value = json.loads(arguments)
    except ValueError as error:
        raise BadInput(f"the arguments are not valid JSON: {error}", hint='quote them: \'{"text": "hello"}\'') from None
    account.sandbox()
    reply = messages.send_command(thing, name, value, application=application, timeout=timeout)
    if as_json:
        emit_json(reply)
    elif reply.get("status") == "ok":
        out.print(f"{escape(thing)} answered: {escape(json.dumps(reply.get('result')))}")
    if reply.get("status") != "ok":
        raise RootletError(f"{thing} answered: {reply.get('error')}", hint="see the device's log")


for more in (*authorities.COMMANDS, *provisioning.COMMANDS, *devices.COMMANDS):
    command.add_command(more)

panels.arrange(
    command,
    {
        "Devices": ["register", "register-all", "import-manifest", "endpoint", "command"],
        "Life of a device": ["activate", "deactivate", "revoke", "rotate", "delete", "audit"],
        "Policies and domains": ["policy", "domain"],
        "Trust on the first connection": ["register-ca", "jitr", "jitp", "claim"],
    },
)
