"""AWS IoT Core's quotas of one connection hold in the sandbox."""

from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.subscribeoptions import SubscribeOptions
from rootlet.packets import Connack, Connect, Pingreq, Pingresp, Puback, Publish, Suback, Subscribe
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.ministack_patch.limits import OverLimit, Rate, check
from rootlet.sandbox.sandbox import Sandbox
from support.mqtt import MqttClient
from support.raw_mqtt import RawMqtt
from support.registered import ANY, Register


@pytest.fixture
def device(register: Register, request: pytest.FixtureRequest) -> DeviceIdentity:
    return register(request.node.name, ANY)


def subscribe(number: int, *names: str) -> Subscribe:
    return Subscribe(number, tuple((name, 1) for name in names))


@pytest.mark.parametrize("client_id", ["i" * 129, "\N{EURO SIGN}" * 43, "$internal"], ids=["129", "129 of UTF-8", "$"])
def test_a_client_id_beyond_128_bytes_or_with_a_dollar_sign_is_rejected(
    sandbox: Sandbox, register: Register, tmp_path: Path, client_id: str
) -> None:
    with RawMqtt(sandbox, register(f"id-{len(client_id)}", ANY), tmp_path) as client:
        client.send(Connect(client_id))
        assert client.receive() == Connack(code=2)
        assert client.receive() is None


def test_a_client_id_of_128_bytes_is_taken(sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path) -> None:
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.send(Connect("i" * 128))
        assert client.receive() == Connack()


def test_a_subscribe_takes_8_filters_and_9_end_the_connection(
    sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path
) -> None:
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.connect()
        assert client.exchange(subscribe(1, *"abcdefgh")) == Suback(1, (1,) * 8)
        assert client.exchange(subscribe(2, *"abcdefghi")) is None


def test_a_connection_holds_50_subscriptions_and_the_51st_ends_it(
    sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path
) -> None:
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.connect()
        for number in range(1, 11):
            names = [f"s/{number}/{one}" for one in range(5)]
            assert client.exchange(subscribe(number, *names)) == Suback(number, (1,) * 5)
        assert client.exchange(subscribe(11, "s/1/0", "s/10/4")) == Suback(11, (1, 1)), "these are held already"
        assert client.exchange(subscribe(12, "one/more")) is None


def test_a_topic_has_at_most_7_slashes(sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path) -> None:
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.connect()
        assert client.exchange(Publish("1/2/3/4/5/6/7/8", b"x", 1, 1)) == Puback(1)
        assert client.exchange(subscribe(2, "1/2/3/4/5/6/7/8")) == Suback(2, (1,))
        assert client.exchange(Publish("1/2/3/4/5/6/7/8/9", b"x", 1, 3)) is None
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.connect()
        assert client.exchange(subscribe(1, "1/2/3/4/5/6/7/8/9")) is None


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/rules/rule/1/2/3/4/5/6/7/8",
        "$share/group/1/2/3/4/5/6/7/8",
        "$aws/commands/things/thing/executions/1/response/accepted/json",
        "t" * 256,
    ],
)
def test_the_levels_that_aws_demands_do_not_count(topic: str) -> None:
    check(Publish(topic), [])


@pytest.mark.parametrize("topic", ["$aws/rules/rule/1/2/3/4/5/6/7/8/9", "$share/group/1/2/3/4/5/6/7/8/9", "t" * 257])
def test_the_other_levels_count(topic: str) -> None:
    with pytest.raises(OverLimit):
        check(Publish(topic), [])


def test_a_subscribe_with_qos_2_is_not_answered(sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path) -> None:
    with RawMqtt(sandbox, device, tmp_path) as client:
        client.connect()
        client.send(Subscribe(1, (("a", 2),)))
        assert client.exchange(Pingreq()) == Pingresp(), "no SUBACK (AWS IoT: differences from MQTT specifications)"


def test_publishes_beyond_100_a_second_are_discarded(sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path) -> None:
    sent = 1000
    with RawMqtt(sandbox, device, tmp_path, timeout=30) as client:
        client.connect()
        client.send(*(Publish("many", b"x", 1, number) for number in range(1, sent + 1)), Pingreq())
        taken = 0
        while (packet := client.receive()) != Pingresp():
            assert isinstance(packet, Puback)
            taken += 1
    assert 100 <= taken < sent, "the connection lives, and what was discarded has no PUBACK"


def test_a_rate_is_refilled_as_time_passes_and_up_to_one_second() -> None:
    now = 0.0
    rate = Rate(100, lambda: now)
    assert sum(rate.take() for _ in range(150)) == 100
    now = 0.5
    assert sum(rate.take() for _ in range(150)) == 50
    now = 60.0
    assert sum(rate.take() for _ in range(150)) == 100


def test_what_exceeds_the_throughput_is_due_later() -> None:
    now = 0.0
    rate = Rate(1000, lambda: now)
    assert rate.borrow(1000) == 0
    assert rate.borrow(500) == 0.5
    now = 0.5
    assert rate.borrow(250) == 0.25


def test_the_limits_hold_for_mqtt_5(sandbox: Sandbox, device: DeviceIdentity, tmp_path: Path) -> None:
    with MqttClient(sandbox, device, tmp_path, protocol=paho.MQTTv5, client_id="$internal") as client:
        assert not client.is_on()
    with MqttClient(sandbox, device, tmp_path, protocol=paho.MQTTv5) as client:
        assert client.is_on()
        assert client.may("publish", "1/2/3/4/5/6/7/8")
        assert not client.may("publish", "1/2/3/4/5/6/7/8/9")
    with MqttClient(sandbox, device, tmp_path, protocol=paho.MQTTv5) as client:
        assert client.is_on()
        client.paho.subscribe([(name, SubscribeOptions(qos=1)) for name in "abcdefghi"])
        assert client.gone.wait(5)
