"""What a device's policies would decide about one action, without asking AWS."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.identity import CERTIFICATE, common_name, load_certificates, thing_in
from rootlet.policies import actions, document, patterns
from rootlet.policies.decision import Decision, decide
from rootlet.policies.document import Policy
from rootlet.policies.variables import Thing, Variables, of_connection

_PREFIX = re.compile(r"arn:[\w-]+:iot:[\w-]+:\d{12}")


@dataclass(frozen=True)
class SimulatedConnection:
    """A connection to evaluate. ``thing`` is the one of ``variables.of_connection``.

    ``persistent`` and ``will_topic`` are what its CONNECT asks for; ``domain_name`` is the server name that it connects to.
    ``exclusive``: the certificate is its thing's under any client ID.
    """

    certificate: x509.Certificate
    client_id: str
    thing: Thing | None
    policies: tuple[Policy, ...]
    prefix: str  # of its ARNs: arn:aws:iot:REGION:ACCOUNT
    status: str = "ACTIVE"
    source_ip: str | None = None
    domain_name: str | None = None
    persistent: bool = False
    will_topic: str | None = None
    exclusive: bool = False

    @property
    def variables(self) -> Variables:
        """The variables of what the session does after its CONNECT."""
        return of_connection(self.client_id, self.certificate, self.thing, self.source_ip, self.domain_name)

    def decide(self, action: actions.Action, target: str) -> Decision:
        """The decision about ``action`` on ``target``, a name or an ARN, with the variables that AWS IoT has for it."""
        variables = self.variables if action.mqtt else self.variables.without_session()
        if action.name == "iot:Connect":
            will = f"{self.prefix}:topic/{self.will_topic}" if self.will_topic is not None else None
            variables = variables.connecting(persistent=self.persistent, will=will)
        return decide(self.policies, action.name, action.arn(self.prefix, target), variables)


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
    """The decision about ``action`` (``iot:Publish`` or ``publish``) on ``target``, a name or ARN of its resource.

    Raises BadInput for an action that no device's policy decides, and for a source IP that is not an address.
    """
    if device.source_ip is not None:
        try:
            ipaddress.ip_address(device.source_ip)
        except ValueError:
            raise BadInput(f"{device.source_ip!r} is not an IP address", hint="give it as 192.0.2.7") from None
    known = actions.find(action)
    if known is None:
        raise BadInput(f"{action!r} is not an action of a device", hint=f"use one of {', '.join(actions.names())}")
    hindrances = [] if device.status == "ACTIVE" else [f"the certificate is {device.status}"]
    needed = list(_needed(device, known, target))
    hindrances += [f"{also.name} {words} is denied" for also, on, words in needed if not device.decide(also, on).allowed]
    return Simulation(known.name, known.arn(device.prefix, target), device.decide(known, target), hindrances)


def _needed(device: SimulatedConnection, action: actions.Action, target: str) -> Iterator[tuple[actions.Action, str, str]]:
    """What else the policies must allow (AWS IoT: policy actions): the action, its target, and words for both."""
    publish = actions.ACTIONS["iot:publish"]
    if action.mqtt and action.name != "iot:Connect":
        yield actions.ACTIONS["iot:connect"], device.client_id, f"as {device.client_id}"
    elif action.name == "iot:Connect" and device.will_topic is not None:
        yield publish, device.will_topic, f"of the last will on {device.will_topic}"
    if action.name == "iot:RetainPublish":
        yield publish, target, f"on {target}"


def from_files(
    certificate: Path,
    policies: list[Path],
    *,
    client_id: str | None = None,
    thing: str | None = None,
    attributes: Mapping[str, str] | None = None,
    thing_type: str | None = None,
    prefix: str | None = None,
) -> SimulatedConnection:
    """The connection that files describe: the thing is named ``thing``, or as the device's directory or certificate says.

    ``prefix`` is that of the policies unless given. Raises BadInput.
    """
    leaf = read_certificate(certificate)
    parsed = tuple(document.parse(path.name, read_input(path, "policy").decode(errors="replace")) for path in policies)
    prefix = prefix or arn_prefix(parsed)
    name = thing or (thing_in(certificate, leaf) if certificate.is_dir() else common_name(leaf))
    client_id = client_id or name
    known = Thing(name, thing_type, attributes or {}) if name == client_id else None
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
