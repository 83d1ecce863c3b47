"""What a session of the sandbox keeps, and what it sends again."""

from pathlib import Path

import boto3
from mypy_boto3_iot import IoTClient
from rootlet.packets import Pingreq, Pingresp, Puback, Publish, Suback, Subscribe
from rootlet.sandbox.sandbox import Sandbox
from support.raw_mqtt import RawMqtt
from support.registered import ANY, Register


def messages_until(client: RawMqtt, last: bytes) -> list[bytes]:
    """The payloads that arrive, up to and with ``last``."""
    payloads: list[bytes] = []
    while not payloads or payloads[-1] != last:
        packet = client.receive()
        assert isinstance(packet, Publish), packet
        payloads.append(packet.payload)
        if packet.qos:
            client.send(Puback(packet.identifier))
    return payloads


def publish(topic: str, *payloads: bytes) -> None:
    publisher = boto3.client("iot-data")
    for payload in payloads:
        publisher.publish(topic=topic, payload=payload, qos=1)


def test_a_repeated_subscribe_replaces_the_subscription(
    sandbox: Sandbox, aws: IoTClient, register: Register, tmp_path: Path
) -> None:
    identity = register("repeats", ANY)
    for boot in range(3):
        with RawMqtt(sandbox, identity, tmp_path) as client:
            assert client.connect(clean=False).session_present == (boot > 0)
            for number, qos in enumerate((1, 1, 0), 1):
                client.send(Subscribe(number, (("do/repeats", qos), ("do/repeats", qos))))
                assert client.receive() == Suback(number, (qos, qos))
            publish("do/repeats", b"once", b"last")
            assert messages_until(client, b"last") == [b"once", b"last"]


def test_what_was_not_acknowledged_comes_again_when_the_session_resumes(
    sandbox: Sandbox, aws: IoTClient, register: Register, tmp_path: Path
) -> None:
    identity = register("hasty", ANY)
    with RawMqtt(sandbox, identity, tmp_path) as client:
        client.connect(clean=False)
        client.send(Subscribe(1, (("do/hasty", 1),)))
        assert client.receive() == Suback(1, (1,))
        publish("do/hasty", b"acknowledged", b"not acknowledged", b"nor this")
        first, second, third = client.receive(), client.receive(), client.receive()
        assert isinstance(first, Publish)
        client.send(Puback(first.identifier), Pingreq())
        assert client.receive() == Pingresp()
    publish("do/hasty", b"meanwhile")
    with RawMqtt(sandbox, identity, tmp_path) as client:
        assert client.connect(clean=False).session_present
        # The same packet identifiers, and no DUP: "The MQTT DUP flag is not supported" (AWS IoT: differences from MQTT).
        assert [client.receive(), client.receive()] == [second, third]
        assert messages_until(client, b"meanwhile") == [b"meanwhile"]


def test_a_message_for_qos_0_is_not_stored_and_the_subscription_stays_qos_0(
    sandbox: Sandbox, aws: IoTClient, register: Register, tmp_path: Path
) -> None:
    identity = register("careless", ANY)
    with RawMqtt(sandbox, identity, tmp_path) as client:
        client.connect(clean=False)
        client.send(Subscribe(1, (("do/zero", 0), ("do/one", 1))))
        assert client.receive() == Suback(1, (0, 1))
    publish("do/zero", b"lost")
    publish("do/one", b"stored")
    with RawMqtt(sandbox, identity, tmp_path) as client:
        assert client.connect(clean=False).session_present
        assert messages_until(client, b"stored") == [b"stored"]
        publish("do/zero", b"now")
        packet = client.receive()
        assert isinstance(packet, Publish)
        assert (packet.payload, packet.qos) == (b"now", 0)


def test_a_retained_message_comes_with_the_subscription_and_not_when_the_session_resumes(
    sandbox: Sandbox, aws: IoTClient, register: Register, tmp_path: Path
) -> None:
    identity = register("reader", ANY)
    boto3.client("iot-data").publish(topic="do/reader", payload=b"kept", qos=1, retain=True)
    with RawMqtt(sandbox, identity, tmp_path) as client:
        client.connect(clean=False)
        client.send(Subscribe(1, (("do/reader", 1),)))
        kept, suback = client.receive(), client.receive()  # in either order (section 3.8.4)
        assert {type(kept), type(suback)} == {Publish, Suback}
        packet = kept if isinstance(kept, Publish) else suback
        assert isinstance(packet, Publish)
        assert (packet.payload, packet.retain) == (b"kept", True)
        client.send(Puback(packet.identifier), Pingreq())
        assert client.receive() == Pingresp()
    with RawMqtt(sandbox, identity, tmp_path) as client:
        assert client.connect(clean=False).session_present
        client.send(Pingreq())
        assert client.receive() == Pingresp()


def test_no_more_than_100_messages_wait_for_acknowledgement(
    sandbox: Sandbox, aws: IoTClient, register: Register, tmp_path: Path
) -> None:
    identity = register("silent", ANY)
    with RawMqtt(sandbox, identity, tmp_path) as client:
        client.connect(clean=False)
        client.send(Subscribe(1, (("do/silent", 1),)))
        assert client.receive() == Suback(1, (1,))
        publish("do/silent", *(b"%d" % number for number in range(103)))
        sent = [client.receive() for _ in range(100)]
        client.send(Pingreq())
        assert client.receive() == Pingresp(), "the 101st waits"
        assert isinstance(sent[7], Publish)
        client.send(Puback(sent[7].identifier))
        following = client.receive()
        assert isinstance(following, Publish)
        assert following.payload == b"100"
    with RawMqtt(sandbox, identity, tmp_path) as client:
        client.connect(clean=False)
        again = messages_until(client, b"102")
        assert again == [b"%d" % number for number in range(103) if number != 7]
