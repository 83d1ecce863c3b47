"""What a session of the sandbox keeps, and what it sends again."""

from pathlib import Path

import boto3
from mypy_boto3_iot import IoTClient
from rootlet.packets import Puback, Publish, Suback, Subscribe
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
