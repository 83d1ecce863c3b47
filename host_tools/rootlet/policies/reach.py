"""What a device's policies let it do that is not its own: be another client, use other devices' topics, things or roles.

Nothing is read off a policy's text: names that no device has are put to the same decision as those of the sandbox, so that
conditions, variables, NotResource and an explicit Deny count.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rootlet.policies import actions, patterns
from rootlet.policies.actions import Action
from rootlet.policies.check import is_claim, is_own, is_provisioning
from rootlet.policies.decision import Considered, decide
from rootlet.policies.document import Statement
from rootlet.policies.simulation import SimulatedConnection
from rootlet.policies.variables import of_connection

NOBODY = "rootlet-name-of-nobody"
"""Stands for another device, and for whatever a wildcard matches."""

_WORDS = {
    "iot:Connect": "connect as any client",
    "iot:Publish": "publish to other devices' topics",
    "iot:RetainPublish": "retain messages on other devices' topics",
    "iot:Receive": "receive other devices' messages",
    "iot:Subscribe": "subscribe to other devices' topics",
    "iot:GetRetainedMessage": "read other devices' retained messages",
    "iot:DeleteConnection": "end other clients' connections",
    "iot:AssumeRoleWithCertificate": "assume any role alias",
}


_SHOWN = 3


@dataclass
class Reach:
    """What one statement allows beyond a device's own: the actions, and the first resource in it that does."""

    policy: str
    statement: Statement
    resource: str
    actions: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        words = [_WORDS.get(action, f"do {action} on other things") for action in self.actions]
        more = f", and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        does = ", ".join(words[:_SHOWN]) + more
        return f"policy {self.policy} lets it {does}: {self.statement.title}, {self.resource}"


def too_wide(device: SimulatedConnection) -> list[Reach]:
    """What the policies allow ``device`` beyond its own names, statement by statement.

    A claim certificate has no names of its own: that it may connect as any client is what it is for.
    """
    claim = is_claim(device.policies)
    found: dict[tuple[str, int], Reach] = {}
    for action in actions.ACTIONS.values():
        if action.resource == actions.EVERYTHING or (claim and action.name == "iot:Connect"):
            continue
        for name in _names(device, action):
            if (by := _allowed(device, action, name)) is None:
                continue
            key = by.policy, by.statement.number
            reach = found.setdefault(key, Reach(by.policy, by.statement, by.pattern))
            if action.name not in reach.actions:
                reach.actions.append(action.name)
    return list(found.values())


def _allowed(device: SimulatedConnection, action: Action, name: str) -> Considered | None:
    """The statement that allows it."""
    if action.name == "iot:Connect":
        # Under another client ID the thing is another, or none: only an exclusive thing stays.
        thing = device.thing if device.exclusive else None
        plain = of_connection(name, device.certificate, thing, device.source_ip, device.domain_name)
        choices = [plain.connecting(), plain.connecting(persistent=True)]
    else:
        choices = [device.variables if action.mqtt else device.variables.without_session()]
    for variables in choices:
        decision = decide(device.policies, action.name, action.arn(device.prefix, name), variables)
        if decision.allowed:
            return decision.by
    return None


def _names(device: SimulatedConnection, action: Action) -> Iterator[str]:
    """Names that are nobody's: one that only wildcards match, and for each pattern with a wildcard, one that it matches."""
    yield NOBODY
    marker = f":{action.resource}/"
    for policy in device.policies:
        for statement in policy.statements:
            for resource in statement.resources if statement.effect == "Allow" else ():
                _, found, name = resource.partition(marker)
                if found and patterns.has_wildcard(name) and not is_own(name) and not is_provisioning(name):
                    yield patterns.example(name, device.variables, NOBODY)
