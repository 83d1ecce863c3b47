"""``rootlet sandbox``: a local IoT Core."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.markup import escape

from rootlet.cli import panels
from rootlet.cli.options import PATH
from rootlet.cli.output import out

if TYPE_CHECKING:
    from rootlet.sandbox.running import Facts


PORT = click.IntRange(0, 65535)


@panels.group(name="sandbox")
def command() -> None:
    """Run a local IoT Core."""


@command.command(
    epilog="""\b
Examples:
  rootlet sandbox up
  rootlet sandbox up --state-dir ~/.rootlet-sandbox
  rootlet sandbox up --api-port 0 --mqtt-port 0 --ready-file sandbox.json
"""
)
@click.option(
    "--api-port",
    type=PORT,
    default=4566,
    show_default=True,
    envvar="ROOTLET_SANDBOX_API_PORT",
    help="HTTP port of the AWS API; 0: any free one.",
)
@click.option(
    "--mqtt-port",
    type=PORT,
    default=8883,
    show_default=True,
    envvar="ROOTLET_SANDBOX_MQTT_PORT",
    help="MQTT port (mutual TLS); 0: any free one.",
)
@click.option("--region", default="us-east-1", show_default=True, envvar="AWS_REGION", help="The region it poses as.")
@click.option("--state-dir", type=PATH, help="Keep registry and server chain in this directory.")
@click.option("--ready-file", type=PATH, help="Write where it serves, as JSON, once it does.")
def up(api_port: int, mqtt_port: int, region: str, state_dir: Path | None, ready_file: Path | None) -> None:
    """Run a local IoT Core on loopback, until Ctrl-C.

    While it runs, `rootlet cloud`, `image build` and `emulate` find it by themselves, unless the environment points at
    AWS. boto3, the AWS CLI and the AWS SDKs talk to it with the variables that it prints. Its root certificate is made
    anew at every start unless --state-dir keeps it.
    """
    from rootlet.files import write_atomic
    from rootlet.sandbox.running import announced
    from rootlet.sandbox.server import SandboxSettings, serve

    with contextlib.ExitStack() as until_it_ends:

        def ready(facts: "Facts") -> None:
            until_it_ends.enter_context(announced(facts))
            if ready_file:
                write_atomic(ready_file, json.dumps(facts.as_dict(), indent=2).encode() + b"\n")
            _show(facts)

        serve(SandboxSettings(region, api_port, mqtt_port, str(state_dir) if state_dir else None), ready)


def _show(facts: "Facts") -> None:
    for name, value in facts.environment.items():
        out.print(f"export {name}={escape(value)}")
    out.print(f"# devices: {facts.endpoint} port {facts.mqtt_port}, which is 127.0.0.1; root: {escape(facts.root)}")
    out.print("# AWS's device SDKs, mosquitto: that port and root; localhost where the endpoint is not resolved")
    out.print("# rootlet's own commands find it by themselves; other tools need the lines above")
    out.print("# running; Ctrl-C stops it")
    out.file.flush()
