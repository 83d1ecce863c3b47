"""What a CONNECT asks for decides with the policy: a persistent session, a last will (AWS IoT: Connect policy examples)."""

from typing import Any

import pytest
from rootlet.policies.check import check
from rootlet.policies.decision import decide
from rootlet.policies.document import parse
from rootlet.policies.variables import Thing, of_connection

PREFIX = "arn:aws:iot:eu-west-1:123456789012"
CLIENT = f"{PREFIX}:client/${{iot:Connection.Thing.ThingName}}"
WILL = f"{PREFIX}:topic/my/lastwill"
OTHER_WILL = f"{PREFIX}:topic/other"


def statement(effect: str, condition: dict[str, Any] | None = None) -> dict[str, Any]:
    made = {"Effect": effect, "Action": "iot:Connect", "Resource": CLIENT}
    return made | ({"Condition": condition} if condition else {})


def attributes(operator: str, *values: str) -> dict[str, Any]:
    return {operator: {"iot:ConnectAttributes": list(values)}}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


ALL, ANY, ALL_BUT = "ForAllValues:StringEquals", "ForAnyValue:StringEquals", "ForAllValues:StringNotEquals"
OF_WILL = {"ArnEquals": {"iot:LastWillTopic": WILL}}
PLAIN, PERSISTENT, WITH_WILL, BOTH, BOTH_OTHER = range(5)
CONNECTS: list[dict[str, Any]] = [
    {},
    {"persistent": True},
    {"will": WILL},
    {"persistent": True, "will": WILL},
    {"persistent": True, "will": OTHER_WILL},
]
"""By the names above."""

# Each policy of AWS's page, and which connections it says that the policy allows.
EXAMPLES: list[tuple[str, dict[str, Any], set[int]]] = [
    ("no condition", policy(statement("Allow")), {PLAIN, PERSISTENT, WITH_WILL, BOTH, BOTH_OTHER}),
    ("persistent", policy(statement("Allow", attributes(ALL, "PersistentConnect"))), {PLAIN, PERSISTENT}),
    ("not persistent", policy(statement("Allow", attributes(ALL_BUT, "PersistentConnect"))), {PLAIN, WITH_WILL}),
    (
        "not persistent, by a Deny",
        policy(statement("Allow"), statement("Deny", attributes(ANY, "PersistentConnect"))),
        {PLAIN, WITH_WILL},
    ),
    (
        "both, and nothing new",
        policy(statement("Allow", attributes(ALL, "PersistentConnect", "LastWill"))),
        {PLAIN, PERSISTENT, WITH_WILL, BOTH, BOTH_OTHER},
    ),
    ("clean", policy(statement("Allow", attributes(ALL, "LastWill"))), {PLAIN, WITH_WILL}),
    ("default features", policy(statement("Allow", attributes(ALL))), {PLAIN}),
    (
        "must be persistent",
        policy(statement("Allow", attributes(ANY, "PersistentConnect"))),
        {PERSISTENT, BOTH, BOTH_OTHER},
    ),
    (
        "must have both",
        policy(
            statement("Allow", attributes(ALL, "PersistentConnect", "LastWill")),
            statement("Deny", attributes(ALL, "PersistentConnect")),
            statement("Deny", attributes(ALL, "LastWill")),
            statement("Deny", attributes(ALL)),
        ),
        {BOTH, BOTH_OTHER},
    ),
    (
        "not persistent, perhaps a will",
        policy(
            statement("Deny", attributes(ANY, "PersistentConnect")),
            statement("Allow", attributes(ALL, "LastWill")),
        ),
        {PLAIN, WITH_WILL},
    ),
    ("this will", policy(statement("Allow", OF_WILL)), {WITH_WILL, BOTH}),
    (
        "this will, clean",
        policy(statement("Allow", OF_WILL), statement("Deny", attributes(ANY, "PersistentConnect"))),
        {WITH_WILL},
    ),
]


@pytest.mark.parametrize(("document", "allowed"), [entry[1:] for entry in EXAMPLES], ids=[entry[0] for entry in EXAMPLES])
def test_a_policy_of_awss_connect_page_is_right_and_decides_as_that_page_says(
    document: dict[str, Any], allowed: set[int]
) -> None:
    assert not check("p", document)
    known = of_connection("pump-1", None, Thing("pump-1"))
    made = parse("p", document)
    decided = {
        number
        for number, asked in enumerate(CONNECTS)
        if decide([made], "iot:Connect", f"{PREFIX}:client/pump-1", known.connecting(**asked)).allowed
    }
    assert decided == allowed


@pytest.mark.parametrize(
    ("action", "condition", "about"),
    [
        ("iot:Connect", attributes(ALL, "PersistantConnect"), "never has the value PersistantConnect"),
        (["iot:Connect", "iot:Publish"], attributes(ALL, "LastWill"), "only iot:Connect has iot:ConnectAttributes"),
        ("iot:Publish", OF_WILL, "only iot:Connect has iot:LastWillTopic"),
    ],
)
def test_a_condition_on_connect_that_can_never_hold_is_an_error(action: Any, condition: Any, about: str) -> None:
    found = check("p", policy(statement("Allow", condition) | {"Action": action}))
    assert [finding.level for finding in found if about in finding.what] == ["error"]
    assert check("p", policy(statement("Deny", condition) | {"Action": action})), "a Deny that never applies denies nothing"


@pytest.mark.parametrize(
    ("pattern", "holds"),
    [
        (f"{PREFIX}:topic/my/*", True),
        ("arn:aws:iot:*:123456789012:topic/my/lastwill", True),
        (f"{PREFIX}:topic/${{iot:ClientId}}", False),
        ("arn:*:topic/my/lastwill", False),  # no wildcard of an ARN reaches over a colon
    ],
)
def test_an_arn_in_a_condition_is_compared_part_by_part(pattern: str, holds: bool) -> None:
    made = parse("p", policy(statement("Allow", {"ArnLike": {"iot:LastWillTopic": pattern}})))
    asked = of_connection("pump-1", None, Thing("pump-1")).connecting(will=WILL)
    assert decide([made], "iot:Connect", f"{PREFIX}:client/pump-1", asked).allowed == holds
