"""``rootlet device explain``: would the cloud accept this device, and which rule says so."""

import dataclasses
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.cloud import account
from rootlet.cli.cloud import options as registering
from rootlet.cli.options import PATH, application_option, json_option
from rootlet.cli.output import emit_json, out

if TYPE_CHECKING:
    from rootlet.cloud.explain import Explanation


@panels.command(
    name="explain",
    epilog="""\b
Examples:
  rootlet device explain devices/sensor-1
  rootlet device explain devices/sensor-1 --app my_app/
  rootlet device explain sensor-1.crt --json
\b
Exit: 0 it would be accepted (at once, or after its first connection), 1 it would not.
""",
)
@click.argument("device", type=PATH, metavar="DIRECTORY|CERTIFICATE")
@registering.app
@application_option
@json_option
def command(device: Path, app: Path | None, application: str, as_json: bool) -> None:
    """Show whether AWS IoT Core would accept a device. Nothing is changed.

    With --app, what the application publishes and subscribes to and the device's policies deny is a rule as well.
    """
    from rootlet.cloud.explain import explain
    from rootlet.pki.identity import thing_in
    from rootlet.trust.stores import from_file

    chain = from_file(device / "device.crt" if device.is_dir() else device)
    read = registering.readable(app) if app else None
    certificate = chain[0].parsed
    thing = thing_in(device, certificate) if device.is_dir() else None
    found = explain(account.iot(), certificate, dt.datetime.now(dt.UTC), application, read, thing=thing)
    if as_json:
        emit_json(_as_json(found))
    else:
        _show(thing or chain[0].common_name, found)
    sys.exit(0 if found.accepted else 1)


def _as_json(found: "Explanation") -> dict[str, object]:
    return {
        "certificate_id": found.certificate_id,
        "accepted": found.accepted,
        "after_first_connection": found.first_time,
        "rules": [dataclasses.asdict(rule) for rule in found.rules],
    }


def _show(name: str, found: "Explanation") -> None:
    out.print(f"{escape(name)}, certificate {found.certificate_id}")
    for rule in found.rules:
        mark = {True: "[green]ok[/] ", False: "[red]NO[/] ", None: "--  "}[rule.ok]
        out.print(f"  {mark} {rule.name:<11} {escape(rule.text)}")
        if rule.hint:
            out.print(f"       {'':<11} [bold]hint:[/] {escape(rule.hint)}")
    verdict = "[bold green]would accept it[/]" if found.accepted else "[bold red]would refuse it[/]"
    later = ", after dropping its first connection" if found.first_time and found.accepted else ""
    out.print(f"AWS IoT Core {verdict}{later}.")
