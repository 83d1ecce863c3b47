"""``rootlet cloud register``: what it makes, that a second run changes nothing, and how it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.explain import command as explain
from rootlet.cloud import registration
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import PublicIdentity, certificate_files
from rootlet.pki.storage import write_directory
from rootlet.policies import rendering

Cloud = Callable[..., Result]


@pytest.fixture
def cloud() -> Cloud:
    from rootlet.cli.cloud.group import command

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(command, arguments)

    return run


def test_a_first_run_makes_everything_and_a_second_changes_nothing(
    cloud: Cloud, aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("reg-1")
    identity.save(tmp_path / "reg-1")
    first = cloud("register", str(tmp_path / "reg-1"), "--json")
    done = json.loads(first.stdout)
    assert done["certificate_id"] == identity.certificate_id
    assert any("registered certificate" in change for change in done["changes"])
    assert aws.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]["status"] == "ACTIVE"
    assert aws.list_thing_principals(thingName="reg-1")["principals"] == [done["certificate_arn"]]
    attached = aws.list_attached_policies(target=done["certificate_arn"])["policies"]
    assert [entry.get("policyName") for entry in attached] == ["rootlet-leaf"]
    second = cloud("register", str(tmp_path / "reg-1"))
    assert second.output.strip() == "nothing to change: reg-1 is registered"


def test_a_certificate_that_aws_made_is_attached_to_the_thing_that_is_named(
    cloud: Cloud, aws: IoTClient, tmp_path: Path
) -> None:
    made = aws.create_keys_and_certificate(setAsActive=True)
    device = tmp_path / "module"
    device.mkdir()
    (device / "device.crt").write_text(made["certificatePem"])
    (device / "device.key").write_text(made["keyPair"]["PrivateKey"])
    refused = cloud("register", str(device)).exception
    assert isinstance(refused, BadInput) and "names no thing" in refused.what and "--thing" in refused.hint
    done = json.loads(cloud("register", str(device), "--thing", "reg-aws", "--json").stdout)
    assert not any("registered certificate" in change for change in done["changes"]), "AWS has it since it made it"
    assert aws.list_thing_principals(thingName="reg-aws")["principals"] == [made["certificateArn"]]
    assert PublicIdentity.load(device).thing == "reg-aws"
    assert cloud("register", str(device)).output.strip() == "nothing to change: reg-aws is registered"
    explained = CliRunner().invoke(explain, [str(device)])
    assert explained.exit_code == 0, explained.output
    assert "reg-aws attached" in explained.output and "as reg-aws:" in explained.output
    alone = CliRunner().invoke(explain, [str(device / "device.crt")])
    assert "as reg-aws:" in alone.output, "it connects as the thing that is attached"


def test_a_certificate_whose_key_stays_elsewhere_is_registered(
    cloud: Cloud, aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("reg-public")
    write_directory(tmp_path / "d", certificate_files(identity.certificate, identity.issuers), secret=(), what="it")
    assert cloud("register", str(tmp_path / "d")).exit_code == 0
    assert aws.list_thing_principals(thingName="reg-public")["principals"]


def test_a_service_adds_a_policy_also_to_a_device_that_is_registered(aws: IoTClient, authority: Authority) -> None:
    identity = authority.issue("reg-services")

    def register(*services: str) -> list[str]:
        done = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], services=services))
        attached = aws.list_attached_policies(target=done.certificate_arn)["policies"]
        assert {entry.get("policyName") for entry in attached} == {"rootlet-leaf", *map(rendering.service_policy, services)}
        return done.changes

    register()
    changed = register("shadow", "shadow:room", "jobs")
    assert [change for change in changed if change.startswith("attached")] == [
        f"attached policy rootlet_{name} to the certificate" for name in ("shadow", "shadow_room", "jobs")
    ]
    assert register("shadow", "shadow:room", "jobs") == []


def test_a_stream_that_was_added_needs_a_new_version_of_the_policy_which_is_offered(
    cloud: Cloud, aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    for name in ("grown-1", "grown-2"):
        authority.issue(name).save(tmp_path / name)
        assert cloud("register", str(tmp_path / name), "--application", "grown").exit_code == 0
    again = ["register", str(tmp_path / "grown-1"), "--application", "grown", "--stream", "climate"]
    refused = cloud(*again, "--stream", "power")
    assert isinstance(refused.exception, BadInput) and "--update-policy" in refused.exception.hint
    for count in range(1, 8):  # more than a policy has room for
        streams = [text for number in range(count) for text in ("--stream", f"power-{number}")]
        done = cloud(*again, *streams, "--update-policy", "--json")
        changes = json.loads(done.stdout)["changes"]
        assert [one for one in changes if "has version" in one and "every device" in one], done.output
        document = aws.get_policy(policyName="rootlet-grown")["policyDocument"]
        assert f"power-{count - 1}" in document and "climate" in document
    versions = aws.list_policy_versions(policyName="rootlet-grown")["policyVersions"]
    assert len(versions) == 5 and sum(one["isDefaultVersion"] for one in versions) == 1
    assert json.loads(cloud(*again, *streams, "--update-policy", "--json").stdout)["changes"] == []


def test_an_interrupted_run_is_completed_by_the_next(aws: IoTClient, authority: Authority) -> None:
    identity = authority.issue("reg-2")
    aws.create_thing(thingName="reg-2")
    done = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    assert not any("thing reg-2" in change and "created" in change for change in done.changes)
    aws.detach_thing_principal(thingName="reg-2", principal=done.certificate_arn)
    again = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    assert again.changes == ["attached the certificate to thing reg-2"]


def test_a_certificate_that_somebody_switched_off_stays_off_until_asked(aws: IoTClient, authority: Authority) -> None:
    identity = authority.issue("reg-3")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    aws.update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    with pytest.raises(RootletError, match="INACTIVE") as refusal:
        registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    assert "--activate" in refusal.value.hint
    done = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], activate=True))
    assert done.changes == [f"activated certificate {identity.certificate_id}"]


def test_a_revoked_certificate_cannot_come_back(aws: IoTClient, authority: Authority) -> None:
    identity = authority.issue("reg-4")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    aws.update_certificate(certificateId=identity.certificate_id, newStatus="REVOKED")
    with pytest.raises(RootletError, match="REVOKED"):
        registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], activate=True))


def test_a_policy_of_that_name_that_allows_something_else_is_not_touched(aws: IoTClient, authority: Authority) -> None:
    aws.create_policy(policyName="rootlet-other", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": []}))
    with pytest.raises(RootletError, match="rootlet-other exists"):
        registration.register(aws, authority.issue("reg-5"), registration.RegistrationRequest("other", ["climate"]))


def test_the_policy_names_every_topic_and_has_no_wildcard() -> None:
    document = rendering.render("arn:aws:iot:eu-west-1:123456789012", "leaf", ["climate"])
    text = json.dumps(document)
    assert "*" not in text
    assert "?" not in text
    assert "arn:aws:iot:eu-west-1:123456789012:topic/dt/leaf/${iot:Connection.Thing.ThingName}/climate" in text


def test_without_region_or_credentials_a_hint_is_given(no_aws: None, authority: Authority) -> None:
    from rootlet.cloud import client

    with pytest.raises(BadInput, match="region"):
        client.iot()


def test_a_sandbox_that_is_not_up_is_one_clear_error(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from rootlet.cloud import client

    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(RootletError, match=r"127\.0\.0\.1:9") as refusal:
        registration.endpoint(client.iot())
    assert "sandbox" in refusal.value.hint


def test_type_group_and_attributes_are_made_once_and_adjusted_after(aws: IoTClient, authority: Authority) -> None:
    identity = authority.issue("typed-1")
    thing = registration.ThingProperties("sensor", ("north",), {"site": "shed"})
    first = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], thing=thing))
    assert "added thing typed-1 to group north" in first.changes
    again = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], thing=thing))
    assert again.changes == []
    moved = registration.ThingProperties("sensor", ("north",), {"site": "barn"})
    third = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], thing=moved))
    assert third.changes == ["set attributes of thing typed-1: site"]
    described = aws.describe_thing(thingName="typed-1")
    assert (described["thingTypeName"], described["attributes"]) == ("sensor", {"site": "barn"})
    with pytest.raises(RootletError, match="is of type sensor, not valve"):
        other = registration.ThingProperties("valve")
        registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], thing=other))
