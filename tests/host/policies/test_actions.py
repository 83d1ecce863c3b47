"""The actions that a device's policy can name, what each asks about, and the versions of the policy language."""

from typing import Any

import pytest
from botocore.loaders import Loader
from rootlet.policies import actions
from rootlet.policies.check import check
from rootlet.policies.decision import decide
from rootlet.policies.document import parse
from rootlet.policies.variables import Thing, of_connection

PREFIX = "arn:aws:iot:eu-west-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"


def findings(version: str | None = "2012-10-17", **statement: Any) -> list[tuple[str, str]]:
    whole = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/{THING}"} | statement
    document = {"Statement": [whole]} | ({"Version": version} if version else {})
    return [(finding.level, finding.what) for finding in check("p", document)]


def test_every_action_over_https_is_an_operation_of_awss_api() -> None:
    loader = Loader()
    operations = {
        name
        for service in ("iot-data", "iot-jobs-data")
        for name in loader.load_service_model(service, "service-2")["operations"]
    }
    permissions = {"AssumeRoleWithCertificate"}  # of the credential provider, which no SDK has
    named = {action.name.partition(":")[2] for action in actions.ACTIONS.values() if not action.mqtt}
    assert named - permissions <= operations


@pytest.mark.parametrize("name", sorted(actions.ACTIONS))
def test_an_action_on_its_own_resource_is_no_finding_and_on_another_is_an_error(name: str) -> None:
    action = actions.ACTIONS[name]
    own = "*" if action.resource == "*" else f"{PREFIX}:{action.resource}/{THING}"
    assert findings(Action=action.name, Resource=own) == []
    wrong = f"{PREFIX}:{'thing' if action.resource == 'topic' else 'topic'}/{THING}"
    assert [level for level, what in findings(Action=action.name, Resource=wrong) if "never applies" in what] == ["error"]


@pytest.mark.parametrize("name", ["iot:Pubish", "iott:Publish", "Publish", "iot:", "s3:GetObject", "iot:DeleteThing"])
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_an_action_that_no_devices_policy_decides_is_an_error(name: str, effect: str) -> None:
    assert ("error", f"no device's policy decides {name}") in findings(Action=name, Effect=effect)


def test_an_action_of_a_greengrass_core_is_only_a_warning() -> None:
    assert [level for level, what in findings(Action="greengrass:Discover") if "Discover" in what] == ["warning"]


def test_a_document_without_a_statement_is_an_error() -> None:
    assert [finding.level for finding in check("p", {"Version": "2012-10-17", "Statement": []})] == ["error"]


@pytest.mark.parametrize("version", ["2008-10-17", None])
def test_a_variable_in_the_old_version_is_plain_text(version: str | None) -> None:
    assert [level for level, what in findings(version) if "plain text" in what] == ["error"]
    named = {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/{THING}/*"}
    policy = parse("p", {"Statement": [named]} | ({"Version": version} if version else {}))
    values = of_connection("pump-1", None, Thing("pump-1"))
    assert not decide([policy], "iot:Publish", f"{PREFIX}:topic/pump-1/a", values).allowed
    as_text = decide([policy], "iot:Publish", f"{PREFIX}:topic/{THING}/a", values)
    assert as_text.allowed, "and a wildcard is still one"
    assert as_text.by and as_text.by.resource == f"{PREFIX}:topic/{THING}/*"
    assert not as_text.values


def test_a_condition_in_the_old_version_is_plain_text_as_well() -> None:
    condition = {"StringEquals": {"iot:ClientId": THING}}
    statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": condition}
    for version, allowed in (("2008-10-17", False), ("2012-10-17", True)):
        policy = parse("p", {"Version": version, "Statement": [statement]})
        values = of_connection("pump-1", None, Thing("pump-1"))
        assert decide([policy], "iot:Connect", f"{PREFIX}:client/pump-1", values).allowed == allowed
