"""Our decisions about a device beside AWS's own: TestAuthorization says what AWS IoT Core would decide.

AWS is told the certificate and the client ID only, for publish, subscribe, receive and connect (AWS IoT API reference:
TestAuthorization). What else a policy asks about, such as a source address or the server's name, AWS reports as missing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rootlet.cloud.attached_policies import from_aws
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput
from rootlet.pki.identity import certificate_id
from rootlet.policies import actions
from rootlet.policies.application import Application
from rootlet.policies.decision import Decision
from rootlet.policies.rendering import needs
from rootlet.policies.simulation import SimulatedConnection
from rootlet.policies.variables import THING_NAME

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

AT_ONCE = 10
"""How many decisions AWS makes in one call (AuthInfos in its API model)."""

ASKED = {"iot:Connect": "CONNECT", "iot:Publish": "PUBLISH", "iot:Subscribe": "SUBSCRIBE", "iot:Receive": "RECEIVE"}
"""The actions that AWS can be asked about, and its names for them."""

ANOTHER = "rootlet-another-device"
"""A thing that is not the device: what it may do is asked as well."""

_ALLOWED, _EXPLICIT, _IMPLICIT = "ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY"


@dataclass(frozen=True)
class ComparedDecision:
    """One decision, by Rootlet and by AWS: ALLOWED, EXPLICIT_DENY or IMPLICIT_DENY.

    ``reason`` is Rootlet's; ``policies`` are those that AWS decided by; ``missing`` are the variables that AWS did not know.
    """

    action: str
    resource: str
    ours: str
    aws: str
    reason: str
    policies: Sequence[str]
    missing: Sequence[str]

    @property
    def same(self) -> bool:
        return self.ours == self.aws


def verify(
    iot: "IoTClient",
    certificate: str,
    application: str,
    read: Application,
    *,
    also: Iterable[tuple[str, str]] = (),
    client_id: str | None = None,
) -> list[ComparedDecision]:
    """Compare the decisions about all that a device with the application ``read`` does, and about what it must not do.

    ``certificate`` is its ID or its path, ``also`` are further actions and targets. Raises RootletError, and BadInput for an
    action that AWS cannot be asked about.
    """
    # AWS is told neither of a persistent session nor of a will: ours is decided without them, too.
    device = replace(from_aws(iot, certificate, client_id=client_id), persistent=False, will_topic=None)
    questions = [*_own(device, application, read), *_another(device, application), *_further(device, also)]
    questions = list(dict.fromkeys(questions))
    answers: list[Any] = []
    with aws_errors():
        arn = f"{device.prefix}:cert/{certificate_id(device.certificate)}"
        for at in range(0, len(questions), AT_ONCE):
            some = questions[at : at + AT_ONCE]
            asked: Any = [{"actionType": ASKED[action], "resources": [resource]} for action, resource in some]
            answers += iot.test_authorization(principal=arn, clientId=device.client_id, authInfos=asked)["authResults"]
    return [_compared(device, *question, answer) for question, answer in zip(questions, answers, strict=True)]


def _own(device: SimulatedConnection, application: str, read: Application) -> Iterator[tuple[str, str]]:
    """What the device does with the application. The id of one job stands for all."""
    for action, resource, _ in needs(device.prefix, application, read):
        if action in ASKED:
            yield action, resource.replace(THING_NAME, device.client_id).replace("*", "1")


def _another(device: SimulatedConnection, application: str) -> Iterator[tuple[str, str]]:
    """What would be another device's, and everything at once."""
    yield "iot:Connect", f"{device.prefix}:client/{ANOTHER}"
    yield "iot:Publish", f"{device.prefix}:topic/dt/{application}/{ANOTHER}/status"
    for filter_ in ("#", f"cmd/{application}/{ANOTHER}/request"):
        yield "iot:Subscribe", f"{device.prefix}:topicfilter/{filter_}"
    yield "iot:Receive", f"{device.prefix}:topic/cmd/{application}/{ANOTHER}/request"


def _further(device: SimulatedConnection, also: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, target in also:
        known = actions.find(name)
        if known is None or known.name not in ASKED:
            words = ", ".join(name.removeprefix("iot:").lower() for name in ASKED)
            raise BadInput(f"AWS cannot be asked about {name!r}", hint=f"use one of {words}")
        yield known.name, known.arn(device.prefix, target)


def _compared(device: SimulatedConnection, action: str, resource: str, answer: Any) -> ComparedDecision:
    ours = device.decide(actions.ACTIONS[action.lower()], resource)
    denied = answer.get("denied") or {}
    by = {
        _ALLOWED: answer.get("allowed"),
        _EXPLICIT: denied.get("explicitDeny"),
        _IMPLICIT: denied.get("implicitDeny"),
    }.get(answer["authDecision"])
    names = [policy.get("policyName", "") for policy in (by or {}).get("policies") or []]
    missing = answer.get("missingContextValues") or []
    return ComparedDecision(action, resource, _word(ours), answer["authDecision"], _reason(ours), names, missing)


def _word(decision: Decision) -> str:
    if decision.allowed:
        return _ALLOWED
    return _EXPLICIT if decision.by else _IMPLICIT


def _reason(decision: Decision) -> str:
    if decision.by:
        return decision.by.title
    why = (f"{entry.title}: {entry.why_not}" for entry in decision.considered)
    return "no statement allows it" + "".join(f"; not {reason}" for reason in why)
