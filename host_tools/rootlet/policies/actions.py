"""The actions that AWS IoT Core decides by a device's policies, and the type of resource that each asks about.

Sources: AWS IoT Core developer guide, "AWS IoT Core policy actions" and "AWS IoT Core action resources"; for the role alias
"Authorizing direct calls to AWS services".
"""

from collections.abc import Sequence
from dataclasses import dataclass

EVERYTHING = "*"
"""The resource of an action that takes no ARN: the two that list."""


@dataclass(frozen=True)
class Action:
    """``resource`` is the type in the ARN, or EVERYTHING. ``mqtt``: part of a session, else a request over HTTPS."""

    name: str
    resource: str
    mqtt: bool = False

    def arn(self, prefix: str, target: str) -> str:
        """The resource of a request about ``target``: a name, or an ARN already."""
        if self.resource == EVERYTHING:
            return EVERYTHING
        return target if target.startswith("arn:") else f"{prefix}:{self.resource}/{target}"


_ALL = (
    Action("iot:Connect", "client", mqtt=True),
    Action("iot:Publish", "topic", mqtt=True),
    Action("iot:RetainPublish", "topic", mqtt=True),
    Action("iot:Receive", "topic", mqtt=True),
    Action("iot:Subscribe", "topicfilter", mqtt=True),
    Action("iot:GetRetainedMessage", "topic"),
    Action("iot:ListRetainedMessages", EVERYTHING),
    Action("iot:DeleteConnection", "client"),
    Action("iot:GetThingShadow", "thing"),
    Action("iot:UpdateThingShadow", "thing"),
    Action("iot:DeleteThingShadow", "thing"),
    Action("iot:ListNamedShadowsForThing", EVERYTHING),
    *(
        # "Policy actions" has the prefix iot, "action resources" iotjobsdata. Neither page says that the other is wrong.
        Action(f"{service}:{verb}", "thing")
        for service in ("iotjobsdata", "iot")
        for verb in ("DescribeJobExecution", "GetPendingJobExecutions", "StartNextPendingJobExecution", "UpdateJobExecution")
    ),
    Action("iot:AssumeRoleWithCertificate", "rolealias"),
)
ACTIONS = {action.name.lower(): action for action in _ALL}
"""By the name in lower case: IAM's actions ignore case."""

GREENGRASS = "greengrass:"
"""A Greengrass core has a device's policy with actions of that service, which are not listed here."""


def find(name: str) -> Action | None:
    """The action of this name, with or without ``iot:``. None where a device's policy does not decide it."""
    folded = name.lower()
    return ACTIONS.get(folded) or ACTIONS.get(f"iot:{folded}") or ACTIONS.get(f"iotjobsdata:{folded}")


def names() -> Sequence[str]:
    """The names in lower case and without their prefix, for people to choose from."""
    return list(dict.fromkeys(name.partition(":")[2] for name in ACTIONS))
