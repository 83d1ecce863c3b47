"""What becomes of registered devices, and what an audit of the account finds."""

import json
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from support.cloud_commands import known, run, status


def test_a_certificate_goes_off_and_on_and_is_revoked_for_good(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    identity = known(aws, authority, device, "life-1")
    for command, wanted in (("deactivate", "INACTIVE"), ("activate", "ACTIVE"), ("revoke", "REVOKED")):
        assert run(command, device).exit_code == 0
        assert status(aws, identity) == wanted
        assert "nothing to change" in run(command, device).output
    error = run("activate", device).exception
    assert isinstance(error, RootletError)
    assert "cannot be activated" in error.what


def test_delete_takes_it_out_and_again_changes_nothing(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    identity = known(aws, authority, device, "life-2")
    assert "deleted thing life-2" in run("delete", device, "--with-thing").output
    assert status(aws, identity) == "unknown"
    assert "nothing to change" in run("delete", device).output
    assert (device / "device.key").exists()


def test_a_device_that_nobody_registered_is_named(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    authority.issue("life-3").save(tmp_path / "d")
    error = run("deactivate", tmp_path / "d").exception
    assert isinstance(error, RootletError)
    assert "has no certificate" in error.what


def test_the_audit_finds_what_was_left_lying_about(aws: IoTClient, authority: Authority) -> None:
    short = authority.issue("audit-1", days=20)
    arn = aws.register_certificate_without_ca(
        certificatePem=short.certificate.public_bytes(Encoding.PEM).decode(), status="ACTIVE"
    )["certificateArn"]
    aws.create_policy(policyName="audit-all", policyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    ))  # fmt: skip
    aws.attach_policy(policyName="audit-all", target=arn)
    result = run("audit", "--json")
    assert result.exit_code == 1
    kinds = {entry["kind"] for entry in json.loads(result.stdout) if entry["certificate_id"] == short.certificate_id}
    assert kinds == {"expiry", "no-thing", "wide"}


def test_the_audit_decides_what_a_policy_allows_also_one_of_a_group_and_tells_it_once(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    prefix = "arn:aws:iot:us-east-1:000000000000"
    wide = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{prefix}:client/*"}
    of_group = {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{prefix}:topic/dt/*/climate"}
    narrow = wide | {"Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}}
    for name, statement in (("audit-any", wide), ("audit-group", of_group), ("audit-attached", narrow)):
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        aws.create_policy(policyName=name, policyDocument=document)
    things = registration.ThingProperties(groups=["audit-north"])
    aws.attach_policy(policyName="audit-group", target=aws.create_thing_group(thingGroupName="audit-north")["thingGroupArn"])
    for thing, policy in (("audit-2", "audit-any"), ("audit-3", "audit-any"), ("audit-4", "audit-attached")):
        registration.register(aws, authority.issue(thing), registration.RegistrationRequest(policy=policy, thing=things))
    orphan = authority.issue("audit-5")
    registration.register(aws, orphan, registration.RegistrationRequest(policy="audit-attached", thing=things))
    aws.detach_policy(policyName="audit-attached", target=aws.list_thing_principals(thingName="audit-5")["principals"][0])
    found = json.loads(run("audit", "--json").stdout)
    told = [entry["text"] for entry in found if entry["kind"] == "wide" and "audit-a" in entry["text"]]
    assert told[-1] == f"policy audit-any lets it connect as any client: statement 1, {prefix}:client/* (and 1 more)"
    assert not any("audit-attached" in text for text in told)
    (group,) = [entry["text"] for entry in found if "audit-group" in entry["text"]]
    assert group.endswith("receive other devices' messages: statement 1, " + f"{prefix}:topic/dt/*/climate (and 3 more)")
    kinds = {entry["kind"] for entry in found if entry["certificate_id"] == orphan.certificate_id}
    assert kinds == set(), "its policy is that of its thing's group"
