"""Least-privilege policies: what a device running ``leaf`` does, topic by topic, and nothing else.

No resource has a wildcard: a policy variable stands for the thing, so that one policy serves a whole fleet and no
device can touch another's topics (AWS IoT: thing policy variables).
"""

import json
from collections.abc import Iterable
from typing import Any

THING = "${iot:Connection.Thing.ThingName}"
ALWAYS = ("status", "faults")
"""The streams that ``leaf`` itself publishes."""


def render(arn_prefix: str, application: str, streams: Iterable[str]) -> dict[str, Any]:
    """The policy document; ``arn_prefix`` is such as ``arn:aws:iot:eu-west-1:123456789012``."""
    names = sorted({*streams, *ALWAYS})
    published = [f"{arn_prefix}:topic/dt/{application}/{THING}/{name}" for name in names]
    requests = f"cmd/{application}/{THING}/request"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{arn_prefix}:client/{THING}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            {
                "Effect": "Allow",
                "Action": "iot:Publish",
                "Resource": [*published, f"{arn_prefix}:topic/cmd/{application}/{THING}/response"],
            },
            {
                "Effect": "Allow",
                "Action": "iot:RetainPublish",
                "Resource": f"{arn_prefix}:topic/dt/{application}/{THING}/status",
            },
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": f"{arn_prefix}:topicfilter/{requests}"},
            {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{arn_prefix}:topic/{requests}"},
        ],
    }


def same(document: str, wanted: dict[str, Any]) -> bool:
    """Whether a policy document that AWS returned says what ``wanted`` says."""
    found: dict[str, Any] = json.loads(document)
    return found == wanted
