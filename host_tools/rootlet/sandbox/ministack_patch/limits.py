"""AWS IoT Core's quotas of one connection (AWS General Reference: AWS IoT Core endpoints and quotas, message broker).

It documents three of its answers: publish requests beyond the quota are discarded, data beyond the throughput is delayed,
subscriptions beyond 50 may be rejected and the connection closed. The others end the connection here; a client ID is
answered as MQTT-3.1.3-9 demands.
"""

import time
from collections.abc import Callable, Collection

from rootlet import packets
from rootlet.sandbox.ministack_patch.shares import PREFIX

PAYLOAD = 128 * 1024  # bytes of a PUBLISH
CLIENT_ID = 128  # bytes
TOPIC = 256  # bytes
SLASHES = 7
SHARE_NAME = 128  # characters
FILTERS = 8  # in one SUBSCRIBE
SUBSCRIPTIONS = 50  # of one connection
UNACKNOWLEDGED = 100  # QoS 1 messages that one client may leave unacknowledged before it is sent no more
PUBLISHES = 100  # a second; what exceeds them is discarded
THROUGHPUT = 512 * 1024  # bytes a second; what exceeds them is processed later

_BASIC_INGEST = "$aws/rules/"


class OverLimit(ValueError):  # noqa: N818 - reads as what it is
    """A packet that AWS IoT Core answers by ending the connection."""


class IdentifierOverLimit(OverLimit):
    """A client ID that AWS IoT Core does not take."""


def check(packet: packets.Packet, held: Collection[str]) -> None:
    """Raise OverLimit where AWS IoT Core would not take ``packet``. ``held`` are the filters of the session."""
    match packet:
        case packets.Connect():
            size = len(packet.client_id.encode())
            if size > CLIENT_ID or packet.client_id.startswith("$"):
                what = f"client ID {packet.client_id[:40]!r} of {size} bytes"
                raise IdentifierOverLimit(f"{what}; it has at most {CLIENT_ID} and does not begin with $")
            if packet.will:
                _check_topic(packet.will.topic)
        case packets.Publish():
            _check_topic(packet.topic)
            if packet.qos > 1:
                raise OverLimit("QoS 2 is not supported")
            if len(packet.payload) > PAYLOAD:
                raise OverLimit(f"a payload of {len(packet.payload)} bytes; the limit is {PAYLOAD}")
        case packets.Subscribe():
            names = [name for name, _ in packet.filters]
            for name in names:
                _check_topic(name)
                _check_share(name)
            if len(names) > FILTERS:
                raise OverLimit(f"a SUBSCRIBE with {len(names)} filters; the limit is {FILTERS}")
            if (count := len({*held, *names})) > SUBSCRIPTIONS:
                raise OverLimit(f"{count} subscriptions; the limit of a connection is {SUBSCRIPTIONS}")


def _check_topic(topic: str) -> None:
    """Levels that AWS demands do not count: of Basic Ingest, of a shared subscription, and of its own reserved topics."""
    counted = topic
    if topic.startswith(_BASIC_INGEST):
        counted = topic[len(_BASIC_INGEST) :].partition("/")[2]
    elif topic.startswith(PREFIX):
        counted = topic[len(PREFIX) :].partition("/")[2]
    if (size := len(counted.encode())) > TOPIC:
        raise OverLimit(f"a topic of {size} bytes; the limit is {TOPIC}")
    if not counted.startswith("$aws/") and (slashes := counted.count("/")) > SLASHES:
        raise OverLimit(f"a topic with {slashes} slashes; the limit is {SLASHES}: {topic!r}")


def _check_share(name: str) -> None:
    if name.startswith(PREFIX):
        share, _, shared = name[len(PREFIX) :].partition("/")
        if not share or not shared or "+" in share or "#" in share or len(share) > SHARE_NAME:
            raise OverLimit(f"{name!r} is not a shared subscription: $share/NAME/FILTER, with a name without wildcards")


class Rate:
    """So many a second, and at most one second's worth at once. ``clock`` tells seconds."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = self._left = float(per_second)
        self._clock, self._then = clock, clock()

    def take(self) -> bool:
        """Take one, if there is one left."""
        if self._refilled() < 1:
            return False
        self._left -= 1
        return True

    def borrow(self, count: int) -> float:
        """Take ``count``, and return the seconds until the last of them is due."""
        self._left = self._refilled() - count
        return max(0.0, -self._left / self._per_second)

    def _refilled(self) -> float:
        now = self._clock()
        self._left = min(self._per_second, self._left + (now - self._then) * self._per_second)
        self._then = now
        return self._left
