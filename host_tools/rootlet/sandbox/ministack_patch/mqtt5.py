"""The parts of MQTT 5 packets that AWS IoT Core limits, as packets of MQTT 3.1.1."""

from typing import Any

from rootlet import packets

_PACKET_IDENTIFIER = 2  # bytes
_PROPERTIES = 10  # in the body of a CONNECT


def read(iot: Any, kind: int, flags: int, body: bytes) -> packets.Packet | None:
    """The CONNECT without its will, PUBLISH or SUBSCRIBE; None for another packet, or one that ministack will refuse."""
    try:
        match kind:
            case packets.Connect.kind:
                _, at = iot._decode_properties(body, _PROPERTIES)
                return packets.Connect(iot._read_string(body, at)[0])
            case packets.Publish.kind:
                qos = flags >> 1 & 3
                topic, at = iot._read_string(body, 0)
                _, at = iot._decode_properties(body, at + (_PACKET_IDENTIFIER if qos else 0))
                return packets.Publish(topic, body[at:], qos)
            case packets.Subscribe.kind:
                return packets.Subscribe(0, tuple(_filters(iot, body)))
    except (ValueError, IndexError):
        pass
    return None


def _filters(iot: Any, body: bytes) -> Any:
    _, at = iot._decode_properties(body, _PACKET_IDENTIFIER)
    while at < len(body):
        name, at = iot._read_string(body, at)
        yield name, body[at] & 3
        at += 1
