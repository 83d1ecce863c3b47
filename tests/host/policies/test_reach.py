"""What policies let a device do beyond what is its own: decided, not read off their text."""

from typing import Any

import pytest
from rootlet.cloud import provisioning
from rootlet.pki.authority import Authority
from rootlet.policies import document, rendering
from rootlet.policies.reach import too_wide
from rootlet.policies.simulation import SimulatedConnection
from rootlet.policies.variables import THING_NAME, Thing

ARN = "arn:aws:iot:eu-west-1:123456789012"
ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}


def device(authority: Authority, *statements: dict[str, Any], exclusive: bool = False) -> SimulatedConnection:
    full = [{"Effect": "Allow"} | ({} if "NotAction" in s else {"Action": "iot:Publish"}) | s for s in statements]
    policy = document.parse("p", {"Version": "2012-10-17", "Statement": full})
    thing = Thing("sensor-1", "sensor", {"site": "shed"})
    certificate = authority.issue("sensor-1").certificate
    return SimulatedConnection(certificate, "sensor-1", thing, (policy,), ARN, exclusive=exclusive)


CONNECT = {"Action": "iot:Connect"}
RECEIVE = {"Action": "iot:Receive"}
DENY = {"Effect": "Deny", "Resource": f"{ARN}:topic/*"}


@pytest.mark.parametrize(
    ("statements", "reached"),
    [
        ([{"Action": "iot:*", "Resource": "*"}], ["iot:Connect", "iot:Publish"]),
        ([CONNECT | {"Resource": f"{ARN}:client/*"}], ["iot:Connect"]),
        ([CONNECT | {"Resource": f"{ARN}:client/${{iot:ClientId}}"}], ["iot:Connect"]),
        ([CONNECT | {"Resource": f"{ARN}:client/sensor-*"}], ["iot:Connect"]),
        ([CONNECT | {"Resource": f"{ARN}:client/*", "Condition": ATTACHED}], []),  # then the client is an attached thing
        ([CONNECT | {"Resource": f"{ARN}:client/{THING_NAME}"}], []),
        ([{"Resource": f"{ARN}:topic/dt/leaf/*/climate"}], ["iot:Publish"]),
        ([{"Resource": f"{ARN}:topic/dt/leaf/sensor-?/climate"}], ["iot:Publish"]),
        ([{"Resource": "arn:aws:iot:*:*:topic/dt/*"}], ["iot:Publish"]),
        ([{"Resource": f"{ARN}:topic/dt/{THING_NAME}/*"}], []),
        ([{"Resource": f"{ARN}:topic/dt/${{iot:Connection.Thing.Attributes[site]}}/*"}], ["iot:Publish"]),
        ([{"Resource": f"{ARN}:topic/dt/everybody"}], []),
        ([{"NotResource": f"{ARN}:topic/secret"}], ["iot:Publish"]),
        ([{"NotAction": "iot:Publish", "Resource": f"{ARN}:topic/*"}], ["iot:RetainPublish", "iot:Receive"]),
        ([{"Resource": f"{ARN}:topic/dt/*"}, DENY], []),
        ([{"Resource": f"{ARN}:topic/dt/*", "Condition": {"StringEquals": {"iot:ClientId": "another"}}}], []),
        ([{"Resource": f"{ARN}:topic/dt/*", "Condition": {"StringEquals": {"iot:ClientId": "sensor-1"}}}], ["iot:Publish"]),
        ([{"Action": "iot:GetThingShadow", "Resource": f"{ARN}:thing/*"}], ["iot:GetThingShadow"]),
        ([{"Action": "iot:AssumeRoleWithCertificate", "Resource": f"{ARN}:rolealias/*"}], ["iot:AssumeRoleWithCertificate"]),
        ([{"Action": "iot:ListRetainedMessages", "Resource": "*"}], []),  # it takes no other resource
    ],
)
def test_a_device_may_be_nobody_else(authority: Authority, statements: list[dict[str, Any]], reached: list[str]) -> None:
    found = too_wide(device(authority, *statements))
    actions = [action for reach in found for action in reach.actions]
    assert actions[: len(reached)] == reached and bool(actions) == bool(reached)


def test_an_exclusive_thing_is_the_devices_under_any_client_id(authority: Authority) -> None:
    statement = CONNECT | {"Resource": f"{ARN}:client/*", "Condition": ATTACHED}
    (found,) = too_wide(device(authority, statement, exclusive=True))
    assert found.text == f"policy p lets it connect as any client: statement 1, {ARN}:client/*"


def test_what_is_rendered_reaches_nothing_but_the_devices_own(authority: Authority) -> None:
    made = [
        rendering.render(ARN, "leaf", ["climate"]),
        *(rendering.render_service(ARN, name) for name in ("shadow", "jobs")),
    ]
    assert too_wide(device(authority, *(statement for policy in made for statement in policy["Statement"]))) == []


def test_a_claim_may_be_any_client_and_nothing_else(authority: Authority) -> None:
    statements = provisioning.claim_policy(ARN, "fleet")["Statement"]
    assert too_wide(device(authority, *statements)) == []
    (found,) = too_wide(device(authority, *statements, {"Resource": f"{ARN}:topic/dt/{THING_NAME}/x"}))
    assert found.actions == ["iot:Connect"], "with topics of its own it is no claim"


def test_what_one_statement_allows_is_told_in_one_line(authority: Authority) -> None:
    (found,) = too_wide(device(authority, {"Action": "*", "Resource": "*"}))
    words = "connect as any client, publish to other devices' topics, retain messages on other devices' topics, and "
    assert f"policy p lets it {words}" in found.text and found.text.endswith(" more: statement 1, *")
