"""Shared subscriptions in the sandbox: one member of a group gets each message."""

from pathlib import Path

import boto3
import paho.mqtt.client as paho
import pytest
from mypy_boto3_iot import IoTClient
from rootlet.packets import Pingreq, Pingresp, Puback, Publish, Suback, Subscribe
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.sandbox import Sandbox
from support.mqtt import MqttClient
from support.raw_mqtt import RawMqtt
from support.registered import ANY, Register


def publish(topic: str, *payloads: bytes) -> None:
    publisher = boto3.client("iot-data")
    for payload in payloads:
        publisher.publish(topic=topic, payload=payload, qos=1)


def join(client: RawMqtt, name: str, *, clean: bool = True) -> None:
    client.connect(clean=clean)
    assert client.exchange(Subscribe(1, ((name, 1),))) == Suback(1, (1,))


def so_far(client: RawMqtt) -> list[bytes]:
    """The payloads that have arrived."""
    client.send(Pingreq())
    found = []
    while (packet := client.receive()) != Pingresp():
        assert isinstance(packet, Publish)
        client.send(Puback(packet.identifier))
        found.append(packet.payload)
    return found


@pytest.fixture
def pair(aws: IoTClient, register: Register, request: pytest.FixtureRequest) -> list[DeviceIdentity]:
    return [register(f"{request.node.name[-20:]}-{number}", ANY) for number in range(2)]


def test_each_message_goes_to_one_member_of_each_group(sandbox: Sandbox, pair: list[DeviceIdentity], tmp_path: Path) -> None:
    everything = [b"%d" % number for number in range(40)]
    with RawMqtt(sandbox, pair[0], tmp_path) as first, RawMqtt(sandbox, pair[1], tmp_path) as second:
        join(first, "$share/pair/work/+")
        join(second, "$share/pair/work/+")
        assert second.exchange(Subscribe(2, (("$share/alone/work/#", 1),))) == Suback(2, (1,))
        publish("work/1", *everything)
        one, other = so_far(first), so_far(second)
        assert one
        assert sorted(one + other) == sorted([*everything, *everything])
        assert set(other) == set(everything)


def test_the_members_left_share_what_comes(sandbox: Sandbox, pair: list[DeviceIdentity], tmp_path: Path) -> None:
    everything = [b"%d" % number for number in range(40)]
    with RawMqtt(sandbox, pair[1], tmp_path) as second:
        with RawMqtt(sandbox, pair[0], tmp_path) as first:
            join(first, "$share/left/work")
            join(second, "$share/left/work")
            publish("work", *everything)
            one, other = so_far(first), so_far(second)
            assert one
            assert other
            assert sorted(one + other) == sorted(everything)
            first.send(b"\xe0\x00")
            assert first.receive() is None
        publish("work", b"a", b"b", b"c")
        assert so_far(second) == [b"a", b"b", b"c"]


def test_while_all_members_are_away_messages_wait_for_one_that_returns(
    sandbox: Sandbox, pair: list[DeviceIdentity], tmp_path: Path
) -> None:
    for identity in pair:
        with RawMqtt(sandbox, identity, tmp_path) as client:
            join(client, "$share/away/jobs", clean=False)
            client.send(b"\xe0\x00")
            assert client.receive() is None
    publish("jobs", b"1", b"2")
    with RawMqtt(sandbox, pair[0], tmp_path) as first, RawMqtt(sandbox, pair[1], tmp_path) as second:
        assert first.connect(clean=False).session_present
        assert so_far(first) == [b"1", b"2"]
        assert second.connect(clean=False).session_present
        assert so_far(second) == []


@pytest.mark.parametrize("name", ["$share/", "$share/group", "$share/group/", "$share//a", "$share/+/a"])
def test_a_share_without_a_name_or_a_filter_ends_the_connection(
    sandbox: Sandbox, register: Register, tmp_path: Path, request: pytest.FixtureRequest, name: str
) -> None:
    with RawMqtt(sandbox, register(f"share-{len(name)}-{name.count('+')}-{name.count('//')}", ANY), tmp_path) as client:
        client.connect()
        assert client.exchange(Subscribe(1, ((name, 1),))) is None


def test_mqtt_5_clients_share_too(sandbox: Sandbox, pair: list[DeviceIdentity], tmp_path: Path) -> None:
    with MqttClient(sandbox, pair[0], tmp_path, protocol=paho.MQTTv5) as client:
        assert client.is_on()
        assert client.may("subscribe", "$share/five/work")
        publish("work", b"x")
        assert client.messages.get(timeout=5) == ("work", b"x")
