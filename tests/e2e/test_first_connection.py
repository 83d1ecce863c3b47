"""A device that the cloud has never seen: registered, or provisioned, by connecting (JITR, JITP)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import policy as policies
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from support import provisioning
from support.device import Device, fault_line, no_line

MakeDevice = Callable[[str], Device]
PASSPHRASE = b"correct horse battery staple"


@pytest.fixture
def batch_ca(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "batch-ca", PASSPHRASE, name=tmp_path.name, subject=Subject(organization="Tests"))


@pytest.fixture
def policy(aws: IoTClient) -> str:
    name = "first-connection"
    if name not in {entry["policyName"] for entry in aws.list_policies()["policies"]}:
        document = policies.render("arn:aws:iot:us-east-1:000000000000", "leaf", ["climate"])
        aws.create_policy(policyName=name, policyDocument=json.dumps(document))
    return name


def test_a_never_seen_device_is_provisioned_as_the_template_says(
    make_device: MakeDevice, batch_ca: Authority, aws: IoTClient, policy: str
) -> None:
    ca_id = provisioning.register_ca(aws, batch_ca, provisioning.template(policy))
    device = make_device("never-seen")
    device.identity = batch_ca.issue("never-seen", subject=Subject(organization="Acme"))
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        assert no_line(board, ["mqtt: connected"]), "the first connection must be dropped"
        board.wait_for(r"telemetry: climate acknowledged", 60)
    found = aws.describe_certificate(certificateId=device.identity.certificate_id)["certificateDescription"]
    assert found["status"] == "ACTIVE"
    assert found["caCertificateId"] == ca_id
    assert aws.describe_thing(thingName="never-seen")["attributes"] == {"customer": "Acme"}
    assert aws.list_thing_principals(thingName="never-seen")["principals"] == [found["certificateArn"]]
    attached = aws.list_attached_policies(target=found["certificateArn"])["policies"]
    assert [entry.get("policyName") for entry in attached] == [policy]


def test_a_device_without_a_template_waits_until_somebody_activates_it(
    make_device: MakeDevice, batch_ca: Authority, aws: IoTClient, policy: str
) -> None:
    provisioning.register_ca(aws, batch_ca)
    device = make_device("pending")
    device.identity = batch_ca.issue("pending")
    certificate_id = device.identity.certificate_id
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        found = aws.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        assert found["status"] == "PENDING_ACTIVATION"
        aws.attach_policy(policyName=policy, target=found["certificateArn"])
        aws.create_thing(thingName="pending")
        aws.attach_thing_principal(thingName="pending", principal=found["certificateArn"])
        aws.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
        board.wait_for(r"telemetry: climate acknowledged", 60)


def test_a_device_of_a_ca_that_is_not_registered_stays_out(
    make_device: MakeDevice, batch_ca: Authority, aws: IoTClient, sandbox: Sandbox
) -> None:
    device = make_device("outsider")
    device.identity = batch_ca.issue("outsider")
    with device.boot() as board:
        line = fault_line(board, "device-certificate-refused")
        board.wait_for("fault: device-certificate-refused", 60, since=len(board.lines))
        assert no_line(board, ["mqtt: connected"])
    assert "rootlet cloud register" in line
    assert device.identity.certificate_id not in {
        entry.get("certificateId") for entry in aws.list_certificates()["certificates"]
    }
