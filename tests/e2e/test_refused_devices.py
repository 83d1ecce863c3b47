"""The cloud must trust the device: each device that IoT Core turns away, and what the device says about it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import keys as asn1_keys
from mypy_boto3_iot import IoTClient
from rootlet.board import secure_cert
from rootlet.cloud import messages
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from support.device import BuiltDevice, fault_line, no_line

MakeDevice = Callable[[str], BuiltDevice]


def identity(device: BuiltDevice) -> DeviceIdentity:
    assert device.identity
    return device.identity


def refused(device: BuiltDevice, word: str = "device-certificate-refused") -> str:
    with device.boot() as board:
        line = fault_line(board, word)
        assert no_line(board, ["mqtt: connected"])
    assert "rootlet cloud register" in line
    return line


def test_a_certificate_that_was_never_registered_is_refused(make_device: MakeDevice, aws: IoTClient) -> None:
    refused(make_device("stranger-1"))


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_active_is_refused_by_its_id(registered: MakeDevice, aws: IoTClient, status: str) -> None:
    device = registered(f"switched-off-{status}")
    aws.update_certificate(certificateId=identity(device).certificate_id, newStatus=status)  # type: ignore[arg-type]
    assert identity(device).certificate_id in refused(device)


def test_a_certificate_of_another_ca_with_a_registered_things_name_is_refused(
    registered: MakeDevice, tmp_path: Path
) -> None:
    device = registered("twin")
    other = Authority.create(tmp_path / "other-ca", b"another passphrase", name="Other", subject=Subject())
    device.identity = other.issue("twin")
    refused(device)


def test_a_policy_that_denies_connecting_is_named_as_a_cause(
    registered_with_less: Callable[[str, str], BuiltDevice],
) -> None:
    assert "iot:Connect as no-connect" in refused(registered_with_less("no-connect", "iot:Connect"))


def test_a_policy_that_denies_the_last_will_is_named_as_a_cause(
    registered_with_less: Callable[[str, str], BuiltDevice],
) -> None:
    """AWS IoT: a will that may not be published refuses the CONNECT that carries it."""
    assert "or its last will" in refused(registered_with_less("no-will", "/status"))


def test_a_policy_that_denies_publishing_is_told_by_what_was_sent_last(
    registered_with_less: Callable[[str, str], BuiltDevice],
) -> None:
    with registered_with_less("no-publish", "/climate").boot() as board:
        line = fault_line(board, "policy-denied")
    assert "PUBLISH to dt/leaf/no-publish/climate" in line
    assert "policy" in line.rpartition(";")[2]


def test_a_policy_that_denies_subscribing_is_told_by_what_was_sent_last(
    registered_with_less: Callable[[str, str], BuiltDevice],
) -> None:
    with registered_with_less("no-subscribe", "iot:Subscribe").boot() as board:
        assert "SUBSCRIBE to cmd/leaf/no-subscribe/request" in fault_line(board, "policy-denied")


def test_a_key_of_another_certificate_is_found_before_anything_is_sent(registered: MakeDevice) -> None:
    device = registered("mixed-up-1")
    device.build()
    mixed = DeviceIdentity("mixed-up-1", identity(device).certificate, keys.generate(), identity(device).issuers)
    device.write_credentials(secure_cert.from_identity(mixed))
    with device.boot() as board:
        assert "not the one of certificate mixed-up-1" in fault_line(board, "key-mismatch")
        assert board.wait() == 0
    assert no_line(board, ["mqtt:", "tls:"])


def test_a_wrong_key_that_hides_its_public_half_is_refused_by_the_server(registered: MakeDevice) -> None:
    """SEC1 makes the public half optional (RFC 5915): then only the handshake can tell."""
    device = registered("mixed-up-2")
    device.build()
    info = asn1_keys.PrivateKeyInfo.load(keys.der(keys.generate()))
    scalar = info["private_key"].parsed
    del scalar["public_key"]
    info["private_key"] = scalar
    bare = info.dump(force=True)
    entries = [
        secure_cert.Entry(secure_cert.Type.DEVICE_CERTIFICATE, identity(device).certificate_der()),
        secure_cert.Entry(secure_cert.Type.PRIVATE_KEY, bare),
    ]
    device.write_credentials(secure_cert.encode(entries))
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        assert no_line(board, ["mqtt: connected"])


def test_a_topic_that_the_policy_denies_is_set_aside_and_the_rest_goes_on(
    registered_with_less: Callable[[str, str], BuiltDevice],
) -> None:
    device = registered_with_less("denied-topic", "/climate")
    with device.boot() as board:
        board.wait_for(r"outbox: dt/leaf/denied-topic/climate is set aside for 40 s of connection", 60)
        since = len(board.lines)
        board.wait_for("mqtt: subscribed", 60, since=since)
        reply = messages.send_command("denied-topic", "echo", {"still": "here"}, application="leaf", timeout=10)
        board.wait_for(r"telemetry|faults: offline", since=since)
        later = [line for line in board.lines[since:] if " fault: " in line]
    assert reply["result"] == {"still": "here"}
    assert not later
