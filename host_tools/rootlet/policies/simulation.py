"""What a device's policies would decide about one action, without asking AWS."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.identity import CERTIFICATE, common_name, load_certificates
from rootlet.policies import document, patterns
from rootlet.policies.check import DATA_PLANE
from rootlet.policies.decision import Decision, decide
from rootlet.policies.document import Policy
from rootlet.policies.variables import Thing, Variables, of_connection

_ACTIONS = {"connect": "Connect", "publish": "Publish", "retainpublish": "RetainPublish", "receive": "Receive"} | {
    "subscribe": "Subscribe"
}
_PREFIX = re.compile(r"arn:[\w-]+:iot:[\w-]+:\d{12}")


@dataclass(frozen=True)
class SimulatedConnection:
    """A connection to evaluate. ``thing`` is the one that the client ID names, where the certificate is attached to it."""

    certificate: x509.Certificate
    client_id: str
    thing: Thing | None
    policies: tuple[Policy, ...]
    prefix: str  # of its ARNs: arn:aws:iot:REGION:ACCOUNT
    status: str = "ACTIVE"
    source_ip: str | None = None

    @property
    def variables(self) -> Variables:
        return of_connection(self.client_id, self.certificate, self.thing, self.source_ip)


@dataclass(frozen=True)
class Simulation:
    """What policies decide about one action. ``hindrances`` keep the device from connecting at all."""

    action: str
    resource: str
    decision: Decision
    hindrances: list[str] = field(default_factory=list)

    @property
    def allowed(self) -> bool:
        return self.decision.allowed and not self.hindrances

    def as_dict(self) -> dict[str, Any]:
        by = self.decision.by
        return {
            "allowed": self.allowed,
            "action": self.action,
            "resource": self.resource,
            "by": by and {"policy": by.policy, "statement": by.statement.number, "sid": by.statement.sid},
            "matched": by and by.resource,
            "variables": self.decision.values,
            "considered": [
                {"policy": entry.policy, "statement": entry.statement.number, "why_not": entry.why_not}
                for entry in self.decision.considered
            ],
            "hindrances": self.hindrances,
        }


def simulate(device: SimulatedConnection, action: str, target: str) -> Simulation:
    """The decision about ``action`` (``iot:Publish`` or ``publish``) on ``target``, a topic, topic filter, client ID or ARN.

    Raises BadInput for an action that is not of an MQTT session.
    """
    verb = action.lower().removeprefix("iot:")
    if verb not in _ACTIONS:
        raise BadInput(f"{action!r} is not an action of an MQTT session", hint=f"use one of {', '.join(_ACTIONS)}")
    resource = target if target.startswith("arn:") else f"{device.prefix}:{DATA_PLANE[verb]}/{target}"
    hindrances = [] if device.status == "ACTIVE" else [f"the certificate is {device.status}"]
    if verb != "connect":
        client = f"{device.prefix}:client/{device.client_id}"
        if not decide(device.policies, "iot:Connect", client, device.variables).allowed:
            hindrances.append(f"iot:Connect as {device.client_id} is denied")
    name = f"iot:{_ACTIONS[verb]}"
    return Simulation(name, resource, decide(device.policies, name, resource, device.variables), hindrances)


def from_files(
    certificate: Path,
    policies: list[Path],
    *,
    client_id: str | None = None,
    thing: str | None = None,
    attributes: Mapping[str, str] | None = None,
    prefix: str | None = None,
) -> SimulatedConnection:
    """The connection that files describe: the thing is named ``thing``, or by the certificate's common name.

    ``prefix`` is that of the policies unless given. Raises BadInput.
    """
    leaf = read_certificate(certificate)
    parsed = tuple(document.parse(path.name, read_input(path, "policy").decode(errors="replace")) for path in policies)
    prefix = prefix or arn_prefix(parsed)
    name = thing or common_name(leaf)
    client_id = client_id or name
    known = Thing(name, attributes=attributes or {}) if name == client_id else None
    return SimulatedConnection(leaf, client_id, known, parsed, prefix)


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate of a device's directory, or of a PEM file. Raises BadInput."""
    return load_certificates(path / CERTIFICATE if path.is_dir() else path)[0]


def arn_prefix(policies: Sequence[Policy]) -> str:
    """The region and account that policies are about, as in ``arn:aws:iot:REGION:ACCOUNT``. Raises BadInput for none."""
    found = next(iter(_prefixes(policies)), None)
    if found is None:
        raise BadInput("the policies name no region and account", hint="give --arn-prefix arn:aws:iot:REGION:ACCOUNT")
    return found


def _prefixes(policies: Sequence[Policy]) -> Iterator[str]:
    for policy in policies:
        for statement in policy.statements:
            for resource in statement.resources:
                if found := _PREFIX.match(patterns.VARIABLE.sub("", resource)):
                    yield found.group()
