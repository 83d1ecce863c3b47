"""What AWS IoT Core refuses, the sandbox refuses."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cloud.provisioning import claim_policy
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from rootlet.sandbox.server import SandboxSettings
from support import provisioning
from support.mqtt import MqttClient
from support.registered import ANY, ARN, CONNECT, PUBLISH, Register, allow, arn, create_policy

THING = "${iot:Connection.Thing.ThingName}"
ISSUER = "iot:Certificate.Issuer.Organization"


def test_a_certificate_without_a_policy_stays_out(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    with MqttClient(sandbox, register("bare"), tmp_path) as client:
        assert not client.is_on()


def test_a_thing_attribute_in_a_resource_is_the_things(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    topic = "topic/${iot:Connection.Thing.Attributes[site]}/x"
    identity = register("located", CONNECT, allow("iot:Publish", topic), site="north")
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()
        assert client.may("publish", "north/x")
        assert not client.may("publish", "south/x")


def test_another_client_id_has_no_thing(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    identity = register("owner", allow("iot:Connect", "client/*", Condition=attached))
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()
    with MqttClient(sandbox, identity, tmp_path, client_id="stranger") as client:
        assert not client.is_on()


def test_a_wildcard_in_the_client_id_is_no_wildcard_in_the_policy(
    sandbox: Sandbox, register: Register, tmp_path: Path
) -> None:
    identity = register("joker", CONNECT, allow("iot:Publish", "topic/${iot:ClientId}/x"))
    with MqttClient(sandbox, identity, tmp_path, client_id="*") as client:
        assert client.is_on()
        assert not client.may("publish", "victim/x")


def test_a_policy_of_a_thing_group_counts_and_so_does_its_parents(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path
) -> None:
    identity = register("member")
    create_policy(aws, "of-parent", CONNECT)
    create_policy(aws, "of-group", allow("iot:Publish", f"topic/{THING}"))
    parent = aws.create_thing_group(thingGroupName="parent")["thingGroupArn"]
    child = aws.create_thing_group(thingGroupName="child", parentGroupName="parent")["thingGroupArn"]
    aws.attach_policy(policyName="of-parent", target=parent)
    aws.attach_policy(policyName="of-group", target=child)
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert not client.is_on()
    aws.add_thing_to_thing_group(thingGroupName="child", thingName="member")
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()
        assert client.may("publish", "member")
        assert not client.may("publish", "other")
    with MqttClient(sandbox, identity, tmp_path, client_id="not-its-thing") as client:
        assert not client.is_on(), "the client ID names the thing, and so its groups"


def test_a_deny_on_the_issuer_keeps_a_whole_ca_out(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    unwanted = Authority.create(
        tmp_path / "ca", b"correct horse battery", name="CA", subject=Subject(organization="Gone, Inc")
    )
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {ISSUER: "Gone\\, Inc"}}}
    with MqttClient(sandbox, register("kept-out", CONNECT, deny, ca=unwanted), tmp_path) as client:
        assert not client.is_on()
    with MqttClient(sandbox, register("let-in", CONNECT, deny), tmp_path) as client:
        assert client.is_on()


def test_a_persistent_session_needs_a_policy_that_allows_one(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    clean = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}
    identity = register("clean-only", allow("iot:Connect", "client/*", Condition=clean))
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert not client.is_on()
    persistent = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
    identity = register("persistent-only", allow("iot:Connect", "client/*", Condition=persistent), PUBLISH)
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert not client.is_on()
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.may("publish", "a"), "CONNECT's keys are asked for at CONNECT only"


def test_a_policy_names_the_topic_of_the_last_will(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    willing = {"ArnEquals": {"iot:LastWillTopic": f"{ARN}:topic/will"}}
    identity = register("willing", allow("iot:Connect", "client/*", Condition=willing), PUBLISH)
    for topic, taken in (("will", True), ("other", False), (None, False)):
        client = MqttClient(sandbox, identity, tmp_path)
        if topic:
            client.paho.will_set(topic, b"gone")
        with client:
            assert client.is_on() == taken


def test_a_policy_names_the_domain_that_the_device_connects_to(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    here = {"StringEquals": {"iot:DomainName": "localhost"}}
    there = {"StringEquals": {"iot:DomainName": "devices.example.com"}}
    for name, condition, taken in (("dials-here", here, True), ("dials-there", there, False)):
        with MqttClient(sandbox, register(name, allow("iot:Connect", "client/*", Condition=condition)), tmp_path) as client:
            assert client.is_on() == taken


def test_a_certificate_that_is_one_things_alone_is_that_things_under_any_client_id(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path
) -> None:
    identity = register("alone", CONNECT, allow("iot:Publish", f"topic/{THING}"))
    aws.create_thing(thingName="not-alone")
    for kind, taken in (("NON_EXCLUSIVE_THING", False), ("EXCLUSIVE_THING", True)):
        aws.attach_thing_principal(thingName="alone", principal=arn(identity), thingPrincipalType=kind)  # type: ignore[arg-type]
        listed = aws.list_principal_things_v2(principal=arn(identity))["principalThingObjects"]
        assert [(entry["thingName"], entry["thingPrincipalType"]) for entry in listed] == [("alone", kind)]
        with MqttClient(sandbox, identity, tmp_path, client_id="stranger") as client:
            assert client.is_on()
            assert client.may("publish", "alone") == taken
    with pytest.raises(ClientError, match="exclusive"):
        aws.attach_thing_principal(thingName="not-alone", principal=arn(identity))


def test_a_payload_of_128_kib_is_taken_and_one_byte_more_is_not(
    sandbox: Sandbox, register: Register, tmp_path: Path
) -> None:
    with MqttClient(sandbox, register("large", ANY), tmp_path) as client:
        assert client.is_on()
        assert client.may("publish", "a", bytes(128 * 1024))
        assert not client.may("publish", "a", bytes(128 * 1024 + 1))


def test_the_limit_holds_over_http_too(aws: IoTClient) -> None:
    publisher = boto3.client("iot-data")
    publisher.publish(topic="a", payload=bytes(128 * 1024))
    with pytest.raises(ClientError, match="RequestEntityTooLarge"):
        publisher.publish(topic="a", payload=bytes(128 * 1024 + 1))


def test_quality_of_service_2_ends_the_connection(sandbox: Sandbox, register: Register, tmp_path: Path) -> None:
    with MqttClient(sandbox, register("twice", ANY), tmp_path) as client:
        assert client.is_on()
        client.paho.publish("a", b"x", qos=2)
        assert client.gone.wait(5)


def test_a_certificate_registered_without_ca_needs_the_server_name(
    sandbox: Sandbox, register: Register, tmp_path: Path
) -> None:
    identity = register("nameless", ANY)
    with MqttClient(sandbox, identity, tmp_path, sni=False) as client:
        assert not client.is_on()
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()


def test_a_certificate_of_a_ca_in_default_mode_needs_no_server_name(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path
) -> None:
    ca = Authority.create(tmp_path / "ca", b"correct horse battery", name="Proved CA", subject=Subject())
    code = aws.get_registration_code()["registrationCode"]
    aws.register_ca_certificate(caCertificate=pem(ca), verificationCertificate=verification(ca, code), setAsActive=True)
    identity = ca.issue("old-stack")
    create_policy(aws, "old-stack", ANY)
    aws.register_certificate(
        certificatePem=identity.certificate.public_bytes(Encoding.PEM).decode(), caCertificatePem=pem(ca), status="ACTIVE"
    )
    aws.attach_policy(policyName="old-stack", target=arn(identity))
    with MqttClient(sandbox, identity, tmp_path, sni=False) as client:
        assert client.is_on()


def test_a_refused_subscription_is_not_in_the_session(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path
) -> None:
    identity = register("resumes", CONNECT, allow(["iot:Subscribe", "iot:Receive"], "*/yes", "*/later"))
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.may("subscribe", "yes")
        client.paho.subscribe([("later", 1), ("no", 1)])
        assert client.gone.wait(5)
    publisher = boto3.client("iot-data")
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.session_present
        for topic in ("no", "later", "yes"):
            publisher.publish(topic=topic, payload=b"1", qos=1)
        assert client.messages.get(timeout=5)[0] == "yes"
        assert client.messages.empty()


def test_a_subscription_that_is_no_longer_allowed_leaves_the_session(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path
) -> None:
    receive = allow("iot:Receive", "topic/*")
    identity = register("demoted", CONNECT, receive, allow("iot:Subscribe", "topicfilter/was", "topicfilter/is"))
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.may("subscribe", "was")
        assert client.may("subscribe", "is")
    create_policy(aws, "less", CONNECT, receive, allow("iot:Subscribe", "topicfilter/is"))
    aws.attach_policy(policyName="less", target=arn(identity))
    aws.detach_policy(policyName="demoted", target=arn(identity))
    publisher = boto3.client("iot-data")
    with MqttClient(sandbox, identity, tmp_path, clean=False) as client:
        assert client.is_on()
        for topic in ("was", "is"):
            publisher.publish(topic=topic, payload=b"1", qos=1)
        assert client.messages.get(timeout=5)[0] == "is"
        assert client.messages.empty()


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_switched_off_loses_its_connection(
    sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path, status: Any
) -> None:
    identity = register(f"off-{status}", ANY)
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert client.is_on()
        aws.update_certificate(certificateId=identity.certificate_id, newStatus=status)
        assert client.gone.wait(5)


def pem(ca: Authority) -> str:
    return ca.certificate.public_bytes(Encoding.PEM).decode()


def verification(ca: Authority, code: str) -> str:
    certificate = certificates.verification(code, keys.generate().public_key(), ca.issuer)
    return certificate.public_bytes(Encoding.PEM).decode()


def test_a_ca_with_a_wrong_verification_certificate_is_refused_with_awss_reason(aws: IoTClient, tmp_path: Path) -> None:
    ca = Authority.create(tmp_path / "ca", b"correct horse battery", name="Twin", subject=Subject())
    twin = Authority.create(tmp_path / "twin", b"correct horse battery", name="Twin", subject=Subject())
    other = Authority.create(tmp_path / "other", b"correct horse battery", name="Other", subject=Subject())
    code = aws.get_registration_code()["registrationCode"]
    refusals = aws.exceptions
    for wrong, refusal, reason in (
        (verification(ca, "0" * 64), refusals.RegistrationCodeValidationException, "Registration code"),
        (verification(twin, code), refusals.CertificateValidationException, "signature"),
        (verification(other, code), refusals.CertificateValidationException, "issuer"),
    ):
        with pytest.raises(refusal, match=reason):
            aws.register_ca_certificate(caCertificate=pem(ca), verificationCertificate=wrong, setAsActive=True)
    with pytest.raises(refusals.InvalidRequestException, match="verification certificate"):
        aws.register_ca_certificate(caCertificate=pem(ca), setAsActive=True)
    done = aws.register_ca_certificate(caCertificate=pem(ca), verificationCertificate=verification(ca, code))
    assert done["certificateId"]


def test_a_template_that_cannot_be_applied_leaves_the_certificate_pending_and_says_why(
    sandbox: Sandbox, aws: IoTClient, tmp_path: Path
) -> None:
    ca = Authority.create(tmp_path / "ca", b"correct horse battery", name="Template CA", subject=Subject())
    create_policy(aws, "of-template", ANY)
    provisioning.register_ca(aws, ca, provisioning.template("of-template"))
    identity = ca.issue("no-organization")
    with MqttClient(sandbox, identity, tmp_path) as client:
        assert not client.is_on()
    found = aws.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"
    assert "the certificate has no value for AWS::IoT::Certificate::Organization" in sandbox.log()
    aws.delete_certificate(certificateId=identity.certificate_id)  # other tests look at all that wait
    whole = ca.issue("organized", subject=Subject(organization="Acme"))
    with MqttClient(sandbox, whole, tmp_path) as client:
        assert not client.is_on(), "the first connection is dropped"
    with MqttClient(sandbox, whole, tmp_path) as client:
        assert client.is_on()


def claim(template: str) -> list[dict[str, Any]]:
    """The statements that a claim certificate gets: they are enough for what follows."""
    statements: list[dict[str, Any]] = claim_policy("arn:aws:iot:us-east-1:000000000000", template)["Statement"]
    return statements


def test_a_signing_request_over_mqtt_is_answered_with_a_certificate_and_a_token(
    sandbox: Sandbox, register: Register, tmp_path: Path
) -> None:
    topic = "$aws/certificates/create-from-csr/json"
    key = keys.generate()
    with MqttClient(sandbox, register("claimant", *claim("claimant")), tmp_path) as client:
        assert client.is_on()
        assert client.may("subscribe", f"{topic}/accepted")
        assert client.may("subscribe", f"{topic}/rejected")
        client.paho.publish(topic, json.dumps({"certificateSigningRequest": "no"}), qos=1)
        assert client.messages.get(timeout=10)[0] == f"{topic}/rejected"
        client.paho.publish(topic, json.dumps({"certificateSigningRequest": csr(key)}), qos=1)
        where, payload = client.messages.get(timeout=10)
    made = json.loads(payload)
    assert where == f"{topic}/accepted"
    assert sorted(made) == ["certificateId", "certificateOwnershipToken", "certificatePem"]
    found = boto3.client("iot").describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"


def test_an_ownership_token_serves_once(sandbox: Sandbox, register: Register, aws: IoTClient, tmp_path: Path) -> None:
    body = {
        "Parameters": {"Serial": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
        },
    }
    aws.create_provisioning_template(
        templateName="once", templateBody=json.dumps(body), enabled=True, provisioningRoleArn=provisioning.role()
    )
    create, provision = "$aws/certificates/create/json", "$aws/provisioning-templates/once/provision/json"
    with MqttClient(sandbox, register("claims", *claim("once")), tmp_path) as client:
        assert client.is_on()
        for topic in (create, provision):
            assert client.may("subscribe", f"{topic}/accepted")
            assert client.may("subscribe", f"{topic}/rejected")

        def ask(topic: str, **request: Any) -> tuple[str, dict[str, Any]]:
            client.paho.publish(topic, json.dumps(request), qos=1)
            where, payload = client.messages.get(timeout=10)
            return where.removeprefix(f"{topic}/"), json.loads(payload)

        token = ask(create)[1]["certificateOwnershipToken"]
        verdict, why = ask(provision, certificateOwnershipToken=token)
        assert verdict == "rejected", "a parameter is missing, and the device may try again"
        verdict, made = ask(provision, certificateOwnershipToken=token, parameters={"Serial": "claimed-1"})
        assert (verdict, made["thingName"]) == ("accepted", "claimed-1")
        verdict, why = ask(provision, certificateOwnershipToken=token, parameters={"Serial": "claimed-2"})
        assert (verdict, why["errorCode"]) == ("rejected", "InvalidCertificateOwnershipToken")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.describe_thing(thingName="claimed-2")


def csr(key: certificates.PrivateKey) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    builder = x509.CertificateSigningRequestBuilder().subject_name(Subject().name("claimed"))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_restart_keeps_certificates_policies_and_cas(tmp_path: Path, authority: Authority) -> None:
    settings = SandboxSettings(state=str(tmp_path / "state"))
    identity = authority.issue("remembered")
    with Sandbox(settings) as first:
        iot = client_of(first)
        iot.register_certificate_without_ca(
            certificatePem=identity.certificate.public_bytes(Encoding.PEM).decode(), status="ACTIVE"
        )
        create_policy(iot, "remembered", ANY)
        iot.attach_policy(policyName="remembered", target=arn(identity))
        code = iot.get_registration_code()["registrationCode"]
        iot.register_ca_certificate(caCertificate=pem(authority), verificationCertificate=verification(authority, code))
    with Sandbox(settings) as second:
        assert len(client_of(second).list_ca_certificates()["certificates"]) == 1
        with MqttClient(second, identity, tmp_path) as client:
            assert client.is_on()


def client_of(sandbox: Sandbox) -> IoTClient:
    facts = sandbox.facts
    return boto3.client(
        "iot", endpoint_url=facts.api_url, region_name=facts.region, aws_access_key_id="test", aws_secret_access_key="test"
    )
