"""What an application does and a policy denies: such a publish would end the device's connection each time it is tried."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rootlet.policies import check as policy_check
from rootlet.policies import document
from rootlet.policies.application import Application
from rootlet.policies.check import PolicyFinding
from rootlet.policies.decision import decide
from rootlet.policies.document import Policy
from rootlet.policies.rendering import needs, will_topic
from rootlet.policies.simulation import SimulatedConnection, arn_prefix
from rootlet.policies.variables import THING_NAME, Thing, Variables, of_connection

SOME_THING = "THING"


@dataclass(frozen=True)
class DeniedUse:
    """What the application does and the policies deny; ``place`` is FILE:LINE, or leaf itself."""

    action: str
    resource: str
    place: str

    @property
    def text(self) -> str:
        return f"{self.action} on {self.resource} is denied; {self.place} needs it"


def denied(device: SimulatedConnection, application: str, read: Application) -> list[DeniedUse]:
    """What ``read``, in the topics of ``application``, does that the device's policies deny. Empty where it may do all."""
    return _denied(device.policies, device.prefix, device.variables, device.client_id, application, read)


def check(policies: Mapping[str, str], application: str, read: Application | None) -> list[PolicyFinding]:
    """The findings about each policy (name and document), and what all of them together deny to ``read``.

    Raises BadInput where one is malformed.
    """
    found = [
        replace(finding, statement=f"{name}, {finding.statement}" if len(policies) > 1 else finding.statement)
        for name, text in policies.items()
        for finding in policy_check.check(name, text)
    ]
    if read is None:
        return found
    parsed = [document.parse(name, text) for name, text in policies.items()]
    some = of_connection(SOME_THING, None, Thing(SOME_THING))
    uses = _denied(parsed, arn_prefix(parsed), some, SOME_THING, application, read)
    hint = "render a policy that allows it: rootlet cloud policy render --app"
    return [*found, *(PolicyFinding("error", "the application", use.text, hint) for use in uses)]


def _denied(
    policies: Sequence[Policy], prefix: str, variables: Variables, thing: str, application: str, read: Application
) -> list[DeniedUse]:
    found = []
    for action, resource, place in needs(prefix, application, read):
        # The ids of jobs are nobody's to know beforehand: one stands for all.
        concrete = resource.replace(THING_NAME, thing).replace("*", "1")
        values = variables
        if action == "iot:Connect":
            values = variables.connecting(persistent=True, will=f"{prefix}:topic/{will_topic(application, thing)}")
        if not decide(policies, action, concrete, values).allowed:
            found.append(DeniedUse(action, concrete.split(":", 5)[-1], place))
    return found
