"""What MQTT 3.1.1 forbids ends the connection. Numbers are those of the standard's normative statements."""

from pathlib import Path

import pytest
from rootlet.packets import Connack, Connect, Pingreq, Pingresp, Publish, Suback, Subscribe, Unsubscribe, Will, encode
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.sandbox import Sandbox
from support.raw_mqtt import RawMqtt
from support.registered import ANY, Register

VALID = encode(Connect("strict"))


def changed(packet: bytes, at: int, byte: int) -> bytes:
    return packet[:at] + bytes((byte,)) + packet[at + 1 :]


@pytest.fixture
def strict(register: Register, request: pytest.FixtureRequest) -> DeviceIdentity:
    return register(request.node.name, ANY)


def test_an_invalid_connect_is_not_answered(sandbox: Sandbox, strict: DeviceIdentity, tmp_path: Path) -> None:
    for what, packet in {
        "a wrong protocol name (MQTT-3.1.2-1)": changed(VALID, 4, ord("X")),
        "the reserved flag (MQTT-3.1.2-3)": changed(VALID, 9, 0x03),
        "a will QoS without a will (MQTT-3.1.2-13)": changed(VALID, 9, 0x0A),
        "a will of QoS 3 (MQTT-3.1.2-14)": changed(encode(Connect("strict", will=Will("t", b"x"))), 9, 0x1E),
        "a password without a user name (MQTT-3.1.2-22)": changed(encode(Connect("strict", user_name="user")), 9, 0x42),
        "bytes behind the end": bytes((VALID[0], VALID[1] + 1)) + VALID[2:] + b"x",
        "a CONNECT that is cut off": b"\x10\x08" + VALID[2:10],
        "no CONNECT first (MQTT-3.1.0-1)": encode(Pingreq()),
        "a length of five bytes (section 2.2.3)": b"\x10\xff\xff\xff\xff\x01",
        "a packet of type 0 (section 2.2.1)": b"\x00\x00",
    }.items():
        with RawMqtt(sandbox, strict, tmp_path) as client:
            client.send(packet)
            assert client.receive() is None, what
    with RawMqtt(sandbox, strict, tmp_path) as client:
        client.send(VALID)
        assert client.receive() == Connack()


def test_a_persistent_session_without_a_client_id_is_refused_by_name(
    sandbox: Sandbox, strict: DeviceIdentity, tmp_path: Path
) -> None:
    with RawMqtt(sandbox, strict, tmp_path) as client:
        client.send(Connect("", clean_session=False))
        assert client.receive() == Connack(code=2), "MQTT-3.1.3-8"
        assert client.receive() is None


def test_another_protocol_level_is_refused_by_name(sandbox: Sandbox, strict: DeviceIdentity, tmp_path: Path) -> None:
    with RawMqtt(sandbox, strict, tmp_path) as client:
        client.send(changed(VALID, 8, 3))
        assert client.receive() == Connack(code=1), "MQTT-3.1.2-2"
        assert client.receive() is None


def test_an_invalid_packet_ends_the_connection(sandbox: Sandbox, strict: DeviceIdentity, tmp_path: Path) -> None:
    subscribe = encode(Subscribe(1, (("a/b", 1),)))
    for what, packet in {
        "a second CONNECT (MQTT-3.1.0-2)": VALID,
        "PUBLISH with packet identifier 0 (MQTT-2.3.1-1)": encode(Publish("a", b"x", 1, 0)),
        "PUBLISH of QoS 3 (MQTT-3.3.1-4)": changed(encode(Publish("a", b"x", 1, 1)), 0, 0x36),
        "PUBLISH of QoS 0 with DUP (MQTT-3.3.1-2)": encode(Publish("a", duplicate=True)),
        "PUBLISH of QoS 1 that is cut off": b"\x32\x04\x00\x01a\x00",
        "PUBLISH to a wildcard (MQTT-3.3.2-2)": encode(Publish("a/+")),
        "PUBLISH with U+0000 (MQTT-1.5.3-2)": encode(Publish("a\0b")),
        "PUBLISH with a surrogate (MQTT-1.5.3-1)": b"\x30\x05\x00\x03\xed\xa0\x80",
        "SUBSCRIBE with packet identifier 0 (MQTT-2.3.1-1)": encode(Subscribe(0, (("a", 1),))),
        "SUBSCRIBE with the wrong flags (MQTT-3.8.1-1)": changed(subscribe, 0, 0x80),
        "SUBSCRIBE without a filter (MQTT-3.8.3-3)": encode(Subscribe(1, ())),
        "SUBSCRIBE with reserved bits (MQTT-3.8.3-4)": subscribe[:-1] + b"\x05",
        "SUBSCRIBE to a/#/b (MQTT-4.7.1-2)": encode(Subscribe(1, (("a/#/b", 1),))),
        "SUBSCRIBE to a# (MQTT-4.7.1-2)": encode(Subscribe(1, (("a#", 1),))),
        "SUBSCRIBE to a+ (MQTT-4.7.1-3)": encode(Subscribe(1, (("a+", 1),))),
        "SUBSCRIBE to nothing (MQTT-4.7.3-1)": encode(Subscribe(1, (("", 1),))),
        "UNSUBSCRIBE with packet identifier 0 (MQTT-2.3.1-1)": encode(Unsubscribe(0, ("a",))),
        "UNSUBSCRIBE without a filter (MQTT-3.10.3-2)": encode(Unsubscribe(1, ())),
        "PUBACK that is cut off": b"\x40\x01\x00",
        "PINGREQ with a body": b"\xc0\x01x",
        "SUBACK, which servers send": encode(Suback(1, (0,))),
    }.items():
        with RawMqtt(sandbox, strict, tmp_path) as client:
            client.connect()
            client.send(packet)
            assert client.receive() is None, what
    with RawMqtt(sandbox, strict, tmp_path) as client:
        client.connect()
        assert client.exchange(Pingreq()) == Pingresp()
    assert "is not a topic filter" in sandbox.log()
