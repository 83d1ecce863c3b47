"""A certificate switched off and on; two customers under one policy."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import messages, registration
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.policies import rendering
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice, fault_line
from support.mqtt import MqttClient

MakeDevice = Callable[[str], BuiltDevice]
PREFIX = "arn:aws:iot:us-east-1:000000000000"
CUSTOMERS = {"Acme, Inc": "acme", "Globex": "globex"}


def test_a_deactivated_certificate_is_dropped_stays_out_and_returns_when_it_is_active_again(
    registered: MakeDevice, aws: IoTClient
) -> None:
    device = registered("switched")
    assert device.identity
    certificate_id = device.identity.certificate_id
    with device.boot() as board:
        board.wait_for("mqtt: subscribed")
        since = len(board.lines)
        aws.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        refused = board.wait_for("fault: device-certificate-refused", 60, since=since).string
        assert "accepted earlier in this boot, so most likely it was deactivated" in refused
        board.wait_for("fault: device-certificate-refused", 60, since=len(board.lines))
        assert not any("mqtt: connected" in line for line in board.lines[since:])
        since = len(board.lines)
        aws.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
        board.wait_for("mqtt: connected", 90, since=since)
        board.wait_for("telemetry: climate acknowledged", since=since)
        reply = messages.send_command("switched", "echo", {"back": True}, application="leaf", timeout=10)
    assert reply["result"] == {"back": True}


@dataclass
class Customer:
    application: str
    identity: DeviceIdentity

    @property
    def thing(self) -> str:
        return self.identity.thing


@pytest.fixture
def customers(tmp_path: Path, aws: IoTClient) -> list[Customer]:
    """A CA and a device each, both under the policy ``shared-`` and the test's directory."""
    made = []
    shared = f"shared-{tmp_path.name}"
    document = rendering.render_customers(PREFIX, CUSTOMERS, ["climate"])
    aws.create_policy(policyName=shared, policyDocument=json.dumps(document))
    for organization, application in CUSTOMERS.items():
        subject = Subject(organization=organization)
        ca = Authority.create(tmp_path / application, b"correct horse battery", name=f"{application} CA", subject=subject)
        identity = ca.issue(f"{application}-{tmp_path.name[-12:]}")
        registration.register(aws, identity, registration.RegistrationRequest(application, ["climate"], policy=shared))
        made.append(Customer(application, identity))
    return made


def without_conditions(document: dict[str, Any]) -> dict[str, Any]:
    for statement in document["Statement"]:
        statement.pop("Condition", None)
    return document


def crossings(sandbox: Sandbox, mine: Customer, other: Customer, directory: Path) -> list[str]:
    """What a device of one customer may do to topics of the other's, under its own name and under the other's."""
    allowed = []
    for thing in (mine.thing, other.thing):
        for act, topic in (
            ("publish", f"dt/{other.application}/{thing}/climate"),
            ("publish", f"cmd/{other.application}/{thing}/response"),
            ("subscribe", f"cmd/{other.application}/{thing}/request"),
            ("subscribe", f"dt/{other.application}/{thing}/climate"),
            ("subscribe", f"dt/{other.application}/#"),
            ("subscribe", "#"),
        ):
            with MqttClient(sandbox, mine.identity, directory) as client:
                assert client.is_on()
                if client.may(act, topic):
                    allowed.append(f"{mine.application}: {act} {topic}")
    with MqttClient(sandbox, mine.identity, directory, client_id=other.thing) as client:
        if client.is_on():
            allowed.append(f"{mine.application}: connect as {other.thing}")
    return allowed


def test_two_customers_under_one_policy_use_their_own_topics_and_never_the_others(
    sandbox: Sandbox, customers: list[Customer], aws: IoTClient, tmp_path: Path
) -> None:
    acme, globex = customers
    facts = sandbox.facts
    for customer in customers:
        (directory := tmp_path / f"board-{customer.application}").mkdir()
        config = {"endpoint": facts.endpoint, "port": facts.mqtt_port, "application": customer.application}
        device = BuiltDevice(directory, customer.identity, config, sandbox.root_pem, {facts.endpoint: "127.0.0.1"})
        with device.boot() as board:
            board.wait_for("telemetry: climate acknowledged")
            board.wait_for("mqtt: subscribed")
            ask = messages.send_command(customer.thing, "echo", {"to": "own"}, application=customer.application, timeout=10)
            assert ask["result"] == {"to": "own"}
    assert crossings(sandbox, acme, globex, tmp_path) == []
    assert crossings(sandbox, globex, acme, tmp_path) == []
    (directory := tmp_path / "crossing").mkdir()
    config = {"endpoint": facts.endpoint, "port": facts.mqtt_port, "application": globex.application}
    device = BuiltDevice(directory, acme.identity, config, sandbox.root_pem, {facts.endpoint: "127.0.0.1"})
    with device.boot() as board:  # its last will is on a topic of the other customer's
        fault_line(board, "device-certificate-refused")
        with pytest.raises(RootletError):
            messages.send_command(acme.thing, "echo", {}, application=globex.application, timeout=1)


def test_without_the_condition_the_customers_are_not_kept_apart(
    sandbox: Sandbox, customers: list[Customer], aws: IoTClient, tmp_path: Path
) -> None:
    """That the test above would see a policy that does not tell the customers apart."""
    document = without_conditions(rendering.render_customers(PREFIX, CUSTOMERS, ["climate"]))
    aws.create_policy_version(policyName=f"shared-{tmp_path.name}", policyDocument=json.dumps(document), setAsDefault=True)
    acme, globex = customers
    assert f"acme: publish dt/globex/{acme.thing}/climate" in crossings(sandbox, acme, globex, tmp_path)


def test_messages_of_one_customer_are_not_delivered_to_the_other(
    sandbox: Sandbox, customers: list[Customer], tmp_path: Path
) -> None:
    acme = customers[0]
    publisher = boto3.client("iot-data")
    with MqttClient(sandbox, acme.identity, tmp_path) as client:
        assert client.is_on()
        assert client.may("subscribe", f"cmd/acme/{acme.thing}/request")
        publisher.publish(topic=f"cmd/globex/{acme.thing}/request", payload=b"not mine", qos=1)
        publisher.publish(topic=f"cmd/acme/{acme.thing}/request", payload=b"mine", qos=1)
        assert client.messages.get(timeout=5)[1] == b"mine"
        assert client.messages.empty()
