"""What cannot succeed is refused before anything is created: in the account, and on the disk."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cli.identity.device import command as device
from rootlet.cloud import jitr_rules, preflight, registration, rotation
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.batch import BatchRequest, issue


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def account(aws: IoTClient) -> dict[str, list[str]]:
    """The names of all that a registration can create."""
    return {
        "certificates": [one["certificateId"] for one in aws.list_certificates(pageSize=250)["certificates"]],
        "things": [one["thingName"] for one in aws.list_things(maxResults=250)["things"]],
        "types": [one["thingTypeName"] for one in aws.list_thing_types()["thingTypes"]],
        "groups": [one["groupName"] for one in aws.list_thing_groups()["thingGroups"]],
        "policies": [one["policyName"] for one in aws.list_policies(pageSize=250)["policies"]],
    }


def refused(aws: IoTClient, words: str, *arguments: object) -> None:
    """The command is refused with ``words``, and the account is as it was."""
    before = account(aws)
    error = run(*arguments).exception
    assert isinstance(error, BadInput), error
    assert words in error.what
    assert account(aws) == before


def test_a_policy_that_is_not_there_is_one_refusal_and_no_device_is_registered(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    devices = tmp_path / "devices"
    for number in range(3):
        authority.issue(f"typo-{number}").save(devices / f"typo-{number}")
    words = "the account has no policy typo"
    refused(aws, words, "register-all", devices, "--policy", "typo")
    assert not (devices / "registered.jsonl").exists()
    refused(aws, words, "register", devices / "typo-0", "--policy", "typo", "--thing-type", "new", "--group", "new")
    (tmp_path / "bundle.pem").write_bytes((devices / "typo-1" / "device.crt").read_bytes())
    refused(aws, words, "import-manifest", tmp_path / "bundle.pem", "--policy", "typo")


def test_a_policy_that_allows_something_else_or_is_too_long_leaves_nothing_behind(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    authority.issue("else-1").save(tmp_path / "d")
    aws.create_policy(policyName="rootlet-elsewhere", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    refused(aws, "rootlet-elsewhere exists", "register", tmp_path / "d", "--application", "elsewhere", "--group", "new")
    # 2048 characters are counted with the account's ARN in each resource: the last that fits is found without an account.
    prefix = aws.create_policy(policyName="preflight-arn", policyDocument="{}")["policyArn"].rpartition(":")[0]
    streams: list[str] = []
    while True:
        streams.append(f"stream-{len(streams)}")
        try:
            preflight.documents(prefix, registration.RegistrationRequest("long", streams))
        except BadInput:
            break
    options = [option for stream in streams for option in ("--stream", stream)]
    refused(aws, "AWS IoT accepts 2048", "register", tmp_path / "d", "--application", "long", *options)


def test_a_type_or_group_that_takes_no_thing_leaves_nothing_behind(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    authority.issue("kinds-1").save(tmp_path / "d")
    aws.create_thing_type(thingTypeName="retired")
    aws.deprecate_thing_type(thingTypeName="retired")
    refused(aws, "the thing type retired is deprecated", "register", tmp_path / "d", "--thing-type", "retired")
    with Stubber(aws) as dynamic, pytest.raises(BadInput, match="the thing group hot is dynamic"):  # the sandbox has none
        dynamic.add_response("describe_thing_group", {"thingGroupName": "hot", "queryString": "attributes.heat:high"})
        preflight._missing_groups(aws, ["hot"]).__next__()
    aws.create_thing(thingName="kinds-1", thingTypeName=aws.create_thing_type(thingTypeName="valve")["thingTypeName"])
    before = account(aws)
    assert "is of type valve" in str(run("register", tmp_path / "d", "--thing-type", "sensor").exception)
    assert account(aws) == before
    done = run("register", tmp_path / "d", "--group", "cold", "--group", "cold", "--json")
    assert json.loads(done.stdout)["changes"].count("created thing group cold") == 1


def test_a_rotation_of_a_device_that_is_not_registered_issues_nothing(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    authority.issue("rotate-typo").save(tmp_path / "d")
    with pytest.raises(RootletError, match="the account has no certificate"):
        rotation.begin(aws, tmp_path / "d", authority, lambda _: "policies")
    assert not (tmp_path / "d" / "next").exists()


@pytest.mark.parametrize("once", [["--once"], []], ids=["sweep", "worker"])
def test_devices_that_register_themselves_are_not_judged_with_a_policy_that_is_not_there(
    aws: IoTClient, tmp_path: Path, once: list[str]
) -> None:
    (tmp_path / "allow").write_text("all\n")
    refused(aws, "no policy typo", "jitr", "run", "--allow", tmp_path / "allow", "--policy", "typo", *once)


@pytest.mark.parametrize("once", [["--once"], []], ids=["sweep", "worker"])
def test_an_issuer_that_is_not_registered_deactivates_no_device(
    aws: IoTClient, authority: Authority, once: list[str]
) -> None:
    if "jitr-there" not in account(aws)["policies"]:
        aws.create_policy(policyName="jitr-there", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    for issuer, words in (("f" * 64, f"the account has no CA {'f' * 64}"), ("8d3f", "'8d3f' is not a certificate ID")):
        refused(aws, words, "jitr", "run", "--issuer", issuer, "--policy", "jitr-there", *once)


def test_where_the_policy_is_not_there_a_self_registering_device_gets_no_thing(aws: IoTClient, authority: Authority) -> None:
    """AWS's Lambda function cannot be told beforehand: nothing looks at its policies when it is deployed."""
    made = aws.create_keys_and_certificate(setAsActive=False)
    calls: list[str] = []

    class Registry:
        """AWS's control plane with one pending certificate of a CA."""

        def describe_certificate(self, **_: str) -> dict[str, Any]:
            pem = authority.issue("lambda-1").certificate.public_bytes(Encoding.PEM).decode()
            about = {"certificatePem": pem, "status": "PENDING_ACTIVATION", "caCertificateId": "f" * 64}
            return {"certificateDescription": about | {"certificateArn": made["certificateArn"]}}

        def attach_policy(self, **given: str) -> None:
            aws.attach_policy(**given)

        def __getattr__(self, name: str) -> Any:
            return lambda **_: calls.append(name)

    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        jitr_rules.admit(Registry(), {"allow": ["lambda-1"]}, made["certificateId"], ["typo"])
    assert calls == []


def test_no_identity_is_unpacked_where_another_name_is_not_in_the_batch(authority: Authority, tmp_path: Path) -> None:
    issue(authority, tmp_path / "batch", BatchRequest([("a", None), ("b", None)]), workers=1)
    error = CliRunner().invoke(device, ["unpack", str(tmp_path / "batch"), "a", "c", "--output", str(tmp_path / "out")])
    assert isinstance(error.exception, BadInput) and "c is not in" in error.exception.what
    assert not (tmp_path / "out").exists()


def test_a_claim_template_is_not_written_where_its_policy_cannot_be(tmp_path: Path) -> None:
    options = [
        "--policy",
        "p",
        "--template-name",
        "fleet",
        "-o",
        tmp_path / "t.json",
        "--claim-policy",
        tmp_path / "no/p.json",
    ]
    assert isinstance(run("claim", "template", *options).exception, BadInput)
    assert not (tmp_path / "t.json").exists()
