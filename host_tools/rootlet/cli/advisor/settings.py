"""AWS's settings of the test cases as options, by AWS's names in lower case."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rootlet.cli.options import PATH, Command, finite
from rootlet.errors import BadInput

if TYPE_CHECKING:
    from rootlet.advisor.settings import Settings

# As in rootlet.advisor.settings, which the help must not import.
_OPERATIONS = ("PUBLISH", "SUBSCRIBE")
_SCENARIOS = (
    "PUBACK_QOS_1", "RECEIVE_LARGE_PAYLOAD", "PERSISTENT_SESSION", "KEEP_ALIVE", "INTERMITTENT_CONNECTIVITY",
    "RECONNECT_BACK_OFF", "LONG_SERVER_DISCONNECT",
)  # fmt: skip
_JSON = {"metavar": "JSON"}
_OPTIONS: dict[str, dict[str, Any]] = {
    "--execution-timeout": {
        "type": finite(1, 86_400),
        "metavar": "SECONDS",
        "help": "End a case of AWS's after this time. [default: 300, as AWS's]",
    },
    "--trigger-topic": {
        "metavar": "TOPIC",
        "help": "Send messages to this topic. [default: one that the device subscribes to]",
    },
    "--payload-size": {
        "type": finite(0, 128),
        "metavar": "KIB",
        "help": "Size of the largest message in MQTT_Client_Puback_QoS1. [default: 4]",
    },
    "--reconnection-attempts": {
        "type": click.IntRange(5, 10),
        "help": "Judge so many waits after disconnects. [default: 7; AWS's is 5]",
    },
    "--topic-for-publish-validation": {"metavar": "TOPIC", "help": "Require that the device publishes to this topic."},
    "--topic-list-for-subscription-validation": {
        "metavar": "FILTER",
        "multiple": True,
        "help": "Require a subscription to this filter; repeatable.",
    },
    "--shadow-name": {"metavar": "NAME", "help": "Watch this named shadow. [default: any shadow of the device]"},
    "--reported-state": {**_JSON, "help": "Require that the device reports this state, at least."},
    "--desired-state": {**_JSON, "help": "Desire this state, which the device knows. [default: a reported value, changed]"},
    "--job-document": {**_JSON, "help": 'The document of the job. [default: {"operation": "advisor"}]'},
    "--operations": {
        "type": click.Choice(_OPERATIONS),
        "multiple": True,
        "help": "What the device does, in MQTT_Long_Duration; repeatable. [default: both]",
    },
    "--scenarios": {
        "type": click.Choice(_SCENARIOS),
        "multiple": True,
        "help": "A scenario of MQTT_Long_Duration; repeatable. [default: all]",
    },
    "--backoff-connection-attempts": {
        "type": click.IntRange(5, 10),
        "help": "Judge so many waits in RECONNECT_BACK_OFF. [default: 7; AWS's is 5]",
    },
    "--long-server-disconnect-time": {
        "type": finite(1, 120),
        "metavar": "MINUTES",
        "help": "How long the server is away. [default: 10; AWS's least is 30]",
    },
}
NAMES = list(_OPTIONS)
_STATES = ("reported_state", "desired_state", "job_document")


def aws_settings(command: Command) -> Command:
    """The options; the command takes their values as keyword arguments."""
    for name, option in reversed(_OPTIONS.items()):
        command = click.option(name, **option)(command)
    return click.option(
        "--policy-file",
        "policies",
        type=PATH,
        multiple=True,
        help="A policy document of the device, for Security_Device_Policies; repeatable.",
    )(command)


def settings(given: Mapping[str, Any]) -> "Settings":
    """The settings that the values of the options make. Raises BadInput."""
    from rootlet.advisor.settings import Settings

    values = {name: value for name, value in given.items() if value is not None and value != ()}
    for name in _STATES:
        if name in values:
            values[name] = _state(values[name], "--" + name.replace("_", "-"))
    if "policies" in values:
        values["policies"] = [_policy(path) for path in values["policies"]]
    return Settings(**values)


def _policy(path: Path) -> Any:
    from rootlet.files import read_input

    return _json(read_input(path, "policy").decode(errors="replace"), f"--policy-file {path}")


def _state(text: str, option: str) -> dict[str, Any]:
    state = _json(text, option)
    if not isinstance(state, dict) or not state:
        hint = f"for example {option} '{{\"brightness\": 60}}'"
        raise BadInput(f"{option} {text}: give a JSON object that is not empty", hint=hint)
    return state


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadInput(f"{what} is not valid JSON", hint="check the file or the quotes") from None
