"""A device gets a new certificate: proved before the old one goes, and finished whatever interrupts it."""

import json
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import proving, registration, rotation
from rootlet.errors import BadInput, RootletError
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from support.cloud_commands import known, status
from support.mqtt import MqttClient


def test_rotation_keeps_the_old_certificate_until_the_board_carries_the_new(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = known(aws, authority, device, "turn-1")
    proved: list[str] = []

    def prove(new: DeviceIdentity) -> proving.How:
        proved.append(new.certificate_id)
        return "policies"

    begun = rotation.begin(aws, device, authority, prove)
    new = DeviceIdentity.load(device / "next")
    assert proved == [new.certificate_id] == [begun.new]
    assert (status(aws, old), status(aws, new)) == ("ACTIVE", "ACTIVE")
    with pytest.raises(RootletError, match="not the new"):
        rotation.finish(aws, device, old.certificate_id)
    assert status(aws, old) == "ACTIVE"
    rotation.finish(aws, device, new.certificate_id)
    assert (status(aws, old), status(aws, new)) == ("INACTIVE", "ACTIVE")
    assert DeviceIdentity.load(device).certificate_id == new.certificate_id
    assert DeviceIdentity.load(device / "previous").certificate_id == old.certificate_id
    assert rotation.finish(aws, device, new.certificate_id).changes == []


class PulledPlugError(Exception):
    pass


def test_a_rotation_interrupted_at_every_call_leaves_a_certificate_that_is_let_in_and_goes_on(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = known(aws, authority, device, "turn-2")
    calls = 0
    stop_at = 0

    def count(**_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise PulledPlugError

    aws.meta.events.register("before-call.iot.*", count)
    interrupted = 0
    for half in ("begin", "finish"):
        stop_at = 0
        while True:
            stop_at, calls = stop_at + 1, 0
            try:
                if half == "begin":
                    rotation.begin(aws, device, authority, lambda _: "policies")
                else:
                    carried = DeviceIdentity.load(device / "next" if (device / "next").exists() else device)
                    rotation.finish(aws, device, carried.certificate_id)
                break
            except PulledPlugError:
                interrupted += 1
                stop, stop_at = stop_at, 0
                # Before the board is seen with the new one it carries the old one, afterwards the new one.
                carries = old if half == "begin" else DeviceIdentity.load(device)
                assert status(aws, carries) == "ACTIVE"
                stop_at = stop
        stop_at = 0
    assert interrupted >= 5
    assert status(aws, old) == "INACTIVE"


ACME = Subject(organization="Acme", organizational_unit="Line 2", country="CH")


def proved_at(sandbox: Sandbox, aws: IoTClient, device: Path, **more: Any) -> rotation.Prove:
    proof = proving.Proof("127.0.0.1", sandbox.facts.mqtt_port, sandbox.root_pem, **more)
    return lambda new: proving.prove(aws, new, device / "next", proof)


def of_acme(aws: IoTClient, authority: Authority, device: Path, thing: str, **more: Any) -> DeviceIdentity:
    """A device whose policy asks for its subject's organization; ``more`` goes into the condition."""
    old = authority.issue(thing, subject=ACME, key_type="ec-p384", days=100)
    old.save(device)
    organization = {"StringEquals": {"iot:Certificate.Subject.Organization": "Acme"}}
    statements = [
        {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*", "Condition": organization | more},
        {"Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish", "iot:Subscribe"], "Resource": "*"},
    ]
    aws.create_policy(policyName=thing, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))
    registration.register(aws, old, registration.RegistrationRequest(policy=thing))
    return old


def test_a_rotated_certificate_has_the_old_ones_subject_key_type_and_days_and_connects(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-1")
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    assert done.proved_by == "connect"
    new = DeviceIdentity.load(device / "next")
    assert new.certificate.subject == old.certificate.subject
    assert keys.type_of(new.key) == "ec-p384" and new.key != old.key
    assert certificates.days_of(new.certificate) == certificates.days_of(old.certificate) == 100
    rotation.finish(aws, device, new.certificate_id)
    assert (status(aws, old), status(aws, new)) == ("INACTIVE", "ACTIVE")
    assert not (device / proving.RECORD).exists()


def test_a_certificate_that_the_policies_refuse_is_not_proved_and_a_rotation_to_it_is_not_finished(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-2")
    other = rotation.Profile(subject=Subject(organization="Globex"), key_type="ec-p256", days=5)
    for _ in range(2):
        with pytest.raises(RootletError, match=r"would refuse the new certificate .* connect: as acme-2"):
            rotation.begin(aws, device, authority, proved_at(sandbox, aws, device), other)
    with pytest.raises(BadInput, match=r"has the subject CN=acme-2,O=Globex, not CN=acme-2,OU=Line 2,O=Acme,C=CH"):
        rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    new = DeviceIdentity.load(device / "next")
    assert keys.type_of(new.key) == "ec-p256" and certificates.days_of(new.certificate) == 5
    with pytest.raises(RootletError, match="nothing proves"):
        rotation.finish(aws, device, new.certificate_id)
    assert status(aws, old) == "ACTIVE"


def test_what_was_proved_and_is_refused_meanwhile_is_not_finished(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-3")
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device, connect=False))
    assert done.proved_by == "policies"
    arn = aws.describe_certificate(certificateId=done.new)["certificateDescription"]["certificateArn"]
    aws.detach_policy(policyName="acme-3", target=arn)
    with pytest.raises(RootletError, match="would refuse the new certificate"):
        rotation.finish(aws, device, done.new)
    assert status(aws, old) == "ACTIVE"
    assert DeviceIdentity.load(device).certificate_id == old.certificate_id


def test_a_connect_that_the_cloud_refuses_is_no_proof(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    of_acme(aws, authority, device, "acme-4")
    deny = {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:000000000000:topic/dt/leaf/*"}
    aws.create_policy(
        policyName="refuses-the-will", policyDocument=json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    )
    arn = aws.list_thing_principals(thingName="acme-4")["principals"][0]
    aws.attach_policy(policyName="refuses-the-will", target=arn)  # the decision about iot:Connect alone does not see this
    with pytest.raises(RootletError, match="does not accept a CONNECT of acme-4"):
        rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    done = rotation.begin(aws, device, authority, proved_at(sandbox, aws, device, application="other"))
    assert done.proved_by == "connect"


def test_a_proof_leaves_a_devices_session_as_it_was(
    aws: IoTClient, authority: Authority, sandbox: Sandbox, tmp_path: Path
) -> None:
    device = tmp_path / "d"
    old = of_acme(aws, authority, device, "acme-5")
    rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    with MqttClient(sandbox, old, tmp_path, clean=False) as client:
        assert client.is_on()
        assert not client.session_present, "an empty session would leave a device deaf, which does not subscribe again"
        assert client.may("subscribe", "a")
    rotation.begin(aws, device, authority, proved_at(sandbox, aws, device))
    with MqttClient(sandbox, old, tmp_path, clean=False) as client:
        assert client.is_on()
        assert client.session_present


def test_a_swap_interrupted_between_its_renames_is_finished(authority: Authority, tmp_path: Path) -> None:
    device = tmp_path / "d"
    old, new = authority.issue("turn-3"), authority.issue("turn-3")
    old.save(device)
    new.save(device / "next")
    device.rename(device.with_name("d.rotating"))  # the plug was pulled here
    rotation._resume_swap(device)
    assert DeviceIdentity.load(device).certificate_id == new.certificate_id
    assert DeviceIdentity.load(device / "previous").certificate_id == old.certificate_id
