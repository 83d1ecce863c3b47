"""The long test's requirements, each on its own: a device that keeps all but one of them fails, and is told which."""

import pytest
from rootlet.advisor.cases import long
from rootlet.advisor.cases.messages import MESSAGE
from rootlet.advisor.grading import Result
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connack, Connect, Packet, Pingreq, Puback, Publish, Subscribe

SUBSCRIBE = Subscribe(1, (("t", 1),))
JITTERED, CONSTANT = (1.3, 2.9, 6.6, 3.8, 19.0, 40.0, 22.0), (5.0,) * 7


class Life:
    """A device's long test, written down as it goes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.connection = 0
        self.timeline = Timeline(lambda: self.now)

    def connects(self, after: float = 2, *, accepted: bool = True) -> None:
        if self.connection:
            self.timeline.add("closed", self.connection, by="server")
        self.now += after
        self.connection += 1
        self.timeline.add("tcp", self.connection)
        self.says(Connect("a"))
        if accepted:
            self.timeline.add("out", self.connection, packet=Connack())
        else:
            self.now += 5

    def says(self, packet: Packet, after: float = 0) -> None:
        self.now += after
        self.timeline.add("in", self.connection, packet=packet)

    def hears(self, packet: Packet) -> None:
        self.timeline.add("out", self.connection, packet=packet)

    def comes_to(self, part: str) -> None:
        self.now += 1
        self.timeline.add("note", text=part)


def life(defect: str = "", retry: float = 10, waits: tuple[float, ...] = JITTERED) -> Timeline:
    one = Life()
    one.connects()
    one.says(SUBSCRIBE)
    one.says(Publish("t", b"1", 1, 2))
    one.now += retry
    for packet in (SUBSCRIBE, Publish("t", b"1", 1, 2, duplicate=True)):
        if defect != f"no second {type(packet).__name__}":
            one.says(packet)
    for number in (long.LARGE_MESSAGE, MESSAGE):
        one.connects()
        one.hears(Publish("t", b"x", 1, number))
        if defect == "subscribes again" and number == MESSAGE:
            one.says(SUBSCRIBE)
        if defect != f"no PUBACK of {number}":
            one.says(Puback(number), 1)
    one.comes_to(long.KEEP_ALIVE_IDLE)
    if defect != "silent":
        one.says(Pingreq(), 30)
    one.comes_to(long.INTERMITTENT)
    for _ in range(long.DROPS - (defect == "stays away")):
        one.connects()
    one.comes_to(long.BACKOFF)
    for wait in (2.0, *waits):
        one.connects(wait, accepted=False)
    one.comes_to(long.LONG_DISCONNECT)
    if defect != "lost for good":
        one.connects(600)
    return one.timeline


def test_a_device_that_keeps_them_all_passes_with_a_word_on_each() -> None:
    verdict = long.all_requirements(life())
    assert verdict.result is Result.PASS, verdict.evidence
    assert verdict.evidence.count("; ") == 7
    assert "publish retry: resent after 10.0 s" in verdict.evidence


@pytest.mark.parametrize(
    ("timeline", "words"),
    [
        (life("no second Subscribe"), "subscribe retry: SUBSCRIBE 1 to t was never resent"),
        (life("no second Publish"), "publish retry: PUBLISH 2 to t, QoS 1, 1 bytes was never resent"),
        (life(retry=20), "publish retry: resent after 20.0 s"),
        (life(f"no PUBACK of {long.LARGE_MESSAGE}"), "PUBACK of a large payload: no PUBACK"),
        (life(f"no PUBACK of {MESSAGE}"), "persistent session: no PUBACK"),
        (life("subscribes again"), "persistent session: the device subscribed again, though session-present was 1"),
        (life("silent"), "keep-alive: the device sent nothing"),
        (life("stays away"), "intermittent connectivity: reconnected 2 times"),
        (life(waits=CONSTANT), "reconnect backoff: constant"),
        (life("lost for good"), "long disconnect: reconnected 0 times"),
        (Timeline(lambda: 0.0), "no connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_device_that_keeps_all_but_one_fails_and_is_told_which(timeline: Timeline, words: str) -> None:
    verdict = long.all_requirements(timeline)
    assert verdict.result is Result.FAIL
    assert words in verdict.evidence


def test_what_varies_without_growing_is_a_warning() -> None:
    verdict = long.all_requirements(life(waits=(7.0, 5.2, 9.1, 6.0, 8.8, 5.5, 9.4)))
    assert verdict.result is Result.WARN
    assert "irregular" in verdict.evidence
