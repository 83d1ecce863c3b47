"""Just-in-time provisioning: which templates can provision a device, and what must be there to attach one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import provisioning, roles, template_check
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from support.provisioning import role

PASSPHRASE = "correct horse battery staple"
CERTIFICATE = "AWS::IoT::Certificate::"
Template = dict[str, Any]


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def parameter(name: str, **about: str) -> Callable[[Template], object]:
    return lambda body: body["Parameters"].update({name: {"Type": "String"} | about})


def properties(resource: str, **given: Any) -> Callable[[Template], object]:
    return lambda body: body["Resources"][resource]["Properties"].update(given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        # What AWS takes, and no certificate can fill in:
        (parameter("SerialNumber"), "SerialNumber is not a parameter that AWS fills in"),
        (parameter("CSR"), "CSR is not a parameter that AWS fills in"),
        (parameter(f"{CERTIFICATE}Color", Default="red"), "Color is not a parameter that AWS fills in"),
        (properties("certificate", CertificateId="f" * 64), "CertificateId must be a Ref"),
        (properties("certificate", CertificateSigningRequest={"Ref": f"{CERTIFICATE}Id"}), "CertificateSigningRequest goes"),
        (properties("thing", ThingName="sensor 1"), "'sensor 1' is not a thing name"),
        (lambda body: body["Resources"]["thing"]["Properties"].pop("ThingName"), "it has no ThingName"),
        (properties("thing", AttributePayload={"customer": "Example Fleet"}), "'Example Fleet' is not an attribute's value"),
        (properties("thing", AttributePayload=dict.fromkeys("abcd", "1")), "4 attributes, and 3 are allowed"),
        (properties("thing", AttributePayload=["a"]), "AttributePayload must be an object"),
        (properties("thing", ThingGroups=["north", "the south"]), "'the south' is not a thing group"),
        (properties("thing", ThingName={"Fn::Sub": f"x-${{{CERTIFICATE}Country}}"}), "Country is used, but not declared"),
        (properties("policy", PolicyDocument="{}"), "PolicyName or PolicyDocument, and not both"),
        (lambda body: body["Resources"].update(policy={"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": "{"}}),
         "policy PolicyDocument is not valid JSON"),
        (properties("certificate", Status="INACTIVE"), "does not become ACTIVE"),
        # What AWS refuses, or would make a traceback of:
        (lambda body: body.pop("Resources"), "Resources is missing"),
        (lambda body: body["Parameters"].clear(), "is used, but not declared"),
        (lambda body: body["Resources"].pop("policy"), "must hold one AWS::IoT::Policy"),
        (lambda body: body["Resources"].pop("thing"), "must hold one AWS::IoT::Thing"),
        (lambda body: body["Parameters"].update({f"{CERTIFICATE}Id": "String"}), "not a parameter of the Type String"),
        (lambda body: body["Resources"].update(bucket={"Type": "AWS::S3::Bucket"}), "bucket is not a resource of the Type"),
        (lambda body: body["Resources"]["thing"].pop("Properties"), "thing has no Properties"),
        (lambda body: body["Resources"]["thing"].update(OverrideSettings={"ThingGroups": "ADD"}), "OverrideSettings is"),
        (properties("certificate", Status={"Ref": f"{CERTIFICATE}Id"}), "does not become ACTIVE"),
    ],
)  # fmt: skip
def test_a_template_that_can_provision_no_device_is_refused(change: Callable[[Template], object], words: str) -> None:
    body = provisioning.jitp(["p"], {"customer": "{Organization}"})
    assert template_check.check(body) == []
    change(body)
    assert [problem for problem in template_check.check(body) if words in problem], template_check.check(body)


def test_a_template_with_all_that_awss_guide_shows_is_correct() -> None:
    """Its example: a type, groups of which one is the country, an inline policy, and what to do where things exist."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["iot:Publish"], "Resource": ["*"]}]}
    used = {name: {"Ref": CERTIFICATE + name} for name in ("CommonName", "SerialNumber", "Country", "Id")}
    thing = {
        "ThingName": used["CommonName"],
        "AttributePayload": {"version": "v1", "serialNumber": used["SerialNumber"]},
        "ThingTypeName": "bulb",
        "ThingGroups": ["v1", used["Country"]],
    }
    override = {"AttributePayload": "MERGE", "ThingTypeName": "REPLACE", "ThingGroups": "DO_NOTHING"}
    body = {
        "Parameters": {CERTIFICATE + name: {"Type": "String"} for name in used}
        | {"Site": {"Type": "String", "Default": "x"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": thing, "OverrideSettings": override},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": used["Id"], "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(document)}},
        },
    }
    assert template_check.check(body) == []


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (Subject(organization="Acme"), "is correct"),
        (Subject(), "the certificate has no Organization"),
        (Subject(organization="Example Fleet"), "'Example Fleet' is not an attribute's value"),
    ],
)
def test_a_template_is_checked_with_a_device(authority: Authority, tmp_path: Path, subject: Subject, words: str) -> None:
    authority.issue("jitp-1", subject=subject).save(tmp_path / "d")
    (tmp_path / "jitp.json").write_text(json.dumps(provisioning.jitp(["p"], {"customer": "{Organization}"})))
    done = run("jitp", "check", tmp_path / "jitp.json", "--device", tmp_path / "d")
    assert words in done.output and done.exit_code == (words != "is correct")


@pytest.fixture
def attach(aws: IoTClient, tmp_path: Path) -> Callable[..., Any]:
    """Attach a template for the given names to a registered CA."""
    Authority.create(tmp_path / "ca", PASSPHRASE.encode(), name=f"CA {tmp_path.name}")
    assert run("register-ca", tmp_path / "ca" / "ca.crt", "--sni-only").exit_code == 0

    def attach(arn: str, policy: str = "jitp-attach", **more: Any) -> Any:
        (tmp_path / "jitp.json").write_text(json.dumps(provisioning.jitp([policy], {}, **more)))
        return run("jitp", "attach", tmp_path / "ca" / "ca.crt", "--template", tmp_path / "jitp.json", "--role", arn)

    if "jitp-attach" not in {entry["policyName"] for entry in aws.list_policies(pageSize=250)["policies"]}:
        aws.create_policy(policyName="jitp-attach", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    return attach


def trusted_by(service: str, name: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn: str = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    return arn


def test_a_role_that_could_provision_nothing_is_refused_and_the_ca_stays_as_it_was(
    aws: IoTClient, attach: Callable[..., Any]
) -> None:
    account = "arn:aws:iam::000000000000:role"
    for arn, words in (
        (f"{account}/typo", "the account has no role typo"),
        ("arn:aws:iam::123456789012:role/provisioning", "is of account 123456789012, not of 000000000000"),
        ("provisioning", "'provisioning' is not the ARN of a role"),
        (f"{role()}\n", "is not the ARN of a role"),
        (role().replace("role/", "role/path/"), "the ARN of role provisioning is"),
        (trusted_by("lambda.amazonaws.com", "jitp-lambda"), "does not trust iot.amazonaws.com"),
        (trusted_by("iot.amazonaws.com", "jitp-bare"), "does not allow iot:CreateThing, iot:UpdateCertificate"),
    ):
        error = attach(arn).exception
        assert isinstance(error, BadInput) and words in error.what, (arn, error)
    described = [
        aws.describe_ca_certificate(certificateId=entry["certificateId"])
        for entry in aws.list_ca_certificates()["certificates"]
    ]
    assert not any("registrationConfig" in entry for entry in described if "jitp-bare" in json.dumps(entry, default=str))
    assert "provisions devices by this template" in attach(role()).output


def test_what_the_template_names_must_be_there(aws: IoTClient, attach: Callable[..., Any]) -> None:
    for more, words in (
        ({"policy": "typo"}, "no policy typo"),
        ({"thing_type": "typo"}, "no thing type typo"),
        ({"groups": ["typo"]}, "no thing group typo"),
    ):
        error = attach(role(), **more).exception
        assert isinstance(error, BadInput) and words in error.what
    aws.create_thing_type(thingTypeName="jitp-type")
    aws.create_thing_group(thingGroupName="jitp-group")
    assert attach(role(), thing_type="jitp-type", groups=["jitp-group"]).exit_code == 0


def test_where_iam_does_not_tell_it_is_said(monkeypatch: pytest.MonkeyPatch, attach: Callable[..., Any]) -> None:
    """The sandbox lets everybody read roles; an account may not."""
    refusal = ClientError({"Error": {"Code": "AccessDenied"}}, "GetRole")

    class Iam:
        exceptions = boto3.client("iam").exceptions

        def get_role(self, **_: str) -> None:
            raise refusal

    monkeypatch.setattr(roles, "checked", lambda _: Iam())
    done = attach(role())
    assert "whether role provisioning exists is not known: AccessDenied" in done.output
    assert "provisions devices by this template" in done.output


def test_a_ca_that_is_not_registered_takes_no_template(aws: IoTClient, tmp_path: Path) -> None:
    Authority.create(tmp_path / "ca", PASSPHRASE.encode(), name="nobody's")
    (tmp_path / "jitp.json").write_text(json.dumps(provisioning.jitp(["p"], {})))
    error = run("jitp", "attach", tmp_path / "ca", "--template", tmp_path / "jitp.json", "--role", role()).exception
    assert isinstance(error, RootletError) and "is not registered" in error.what
