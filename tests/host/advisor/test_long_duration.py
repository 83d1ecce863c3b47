"""The long test's operations and scenarios, each on its own: a device that fails one of them is told which."""

import pytest
from rootlet.advisor.cases import long
from rootlet.advisor.cases.messages import MESSAGE
from rootlet.advisor.grading import Result
from rootlet.advisor.settings import OPERATIONS, SCENARIOS, Settings
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connack, Connect, Packet, Pingreq, Puback, Publish, Subscribe

SUBSCRIBE = Subscribe(1, (("t", 1),))
JITTERED, CONSTANT = (1.3, 2.9, 6.6, 3.8, 19.0, 40.0, 22.0), (5.0,) * 7


class Life:
    """A device's long test, written down as it goes."""

    def __init__(self, settings: Settings) -> None:
        self.now = 0.0
        self.connection = 0
        self.timeline = Timeline(lambda: self.now, settings=settings)

    def connects(self, after: float = 2, *, accepted: bool = True) -> None:
        if self.connection:
            self.ends("server")
        self.now += after
        self.connection += 1
        self.timeline.add("tcp", self.connection)
        self.says(Connect("a", clean_session=False, keep_alive=30))
        if accepted:
            self.timeline.add("out", self.connection, packet=Connack())
        else:
            self.now += 5

    def ends(self, by: str) -> None:
        if not any(event.kind == "closed" and event.connection == self.connection for event in self.timeline):
            self.timeline.add("closed", self.connection, by=by)

    def says(self, packet: Packet, after: float = 0) -> None:
        self.now += after
        self.timeline.add("in", self.connection, packet=packet)

    def hears(self, packet: Packet) -> None:
        self.timeline.add("out", self.connection, packet=packet)

    def comes_to(self, part: str) -> None:
        if self.connection:
            self.ends("server")
        self.now += 1
        self.timeline.add("note", text=part)


def life(
    defect: str = "", retry: float = 10, waits: tuple[float, ...] = JITTERED, settings: Settings | None = None
) -> Timeline:
    one = Life(settings or Settings())
    one.comes_to(long.BASIC)
    one.connects()
    one.says(SUBSCRIBE)
    if defect != "publishes nothing":
        one.says(Publish("t", b"1", 1, 2))
    one.now += retry
    for packet in (SUBSCRIBE, Publish("t", b"1", 1, 2, duplicate=True)):
        if defect not in (f"no second {type(packet).__name__}", "publishes nothing"):
            one.says(packet)
    for part, number in (("PUBACK_QOS_1", long.SMALL_MESSAGE), ("RECEIVE_LARGE_PAYLOAD", long.LARGE_MESSAGE)):
        one.comes_to(part)
        one.connects()
        _hears(one, number, defect)
    one.comes_to("PERSISTENT_SESSION")
    one.connects()
    one.says(SUBSCRIBE)
    one.connects()
    if defect == "subscribes again":
        one.says(SUBSCRIBE)
    _hears(one, MESSAGE, defect)
    one.comes_to("KEEP_ALIVE")
    one.connects()
    if defect != "silent":
        one.says(Pingreq(), 30)
    if defect != "keeps a dead connection":
        one.now += 15
        one.ends("device")
    one.comes_to("INTERMITTENT_CONNECTIVITY")
    for _ in range(long.DROPS - (defect == "stays away")):
        one.connects()
    one.comes_to("RECONNECT_BACK_OFF")
    for wait in (2.0, *waits):
        one.connects(wait, accepted=False)
    one.comes_to("LONG_SERVER_DISCONNECT")
    one.connects()
    if defect != "lost for good":
        one.connects(600)
    return one.timeline


def _hears(one: Life, number: int, defect: str) -> None:
    one.hears(Publish("t", b"x", 1, number))
    if defect != f"no PUBACK of {number}":
        one.says(Puback(number), 1)


def test_a_device_that_keeps_them_all_passes_with_a_word_on_each() -> None:
    verdict = long.all_requirements(life())
    assert verdict.result is Result.PASS, verdict.evidence
    for name in (*OPERATIONS, *SCENARIOS):
        assert f"{name}: " in verdict.evidence
    assert "PUBLISH: resent after 10.0 s" in verdict.evidence


@pytest.mark.parametrize(
    ("timeline", "words"),
    [
        (life("publishes nothing"), "PUBLISH: none was sent"),
        (life(f"no PUBACK of {long.SMALL_MESSAGE}"), "PUBACK_QOS_1: no PUBACK"),
        (life(f"no PUBACK of {long.LARGE_MESSAGE}"), "RECEIVE_LARGE_PAYLOAD: no PUBACK"),
        (life(f"no PUBACK of {MESSAGE}"), f"PERSISTENT_SESSION: the stored message (PUBLISH {MESSAGE}) got no PUBACK"),
        (life("subscribes again"), "PERSISTENT_SESSION: session-present was 1, and the device subscribed again"),
        (life("keeps a dead connection"), "KEEP_ALIVE: the device kept the connection though nothing was answered"),
        (life("silent"), "KEEP_ALIVE: the device ended the connection after 15.0 s, and had asked nothing"),
        (life("stays away"), "INTERMITTENT_CONNECTIVITY: reconnected 2 times"),
        (life(waits=CONSTANT), "RECONNECT_BACK_OFF: constant"),
        (life(waits=JITTERED[:3]), "RECONNECT_BACK_OFF: reconnected 3 times of 7"),
        (life("lost for good"), "LONG_SERVER_DISCONNECT: reconnected 1 time"),
        (Timeline(lambda: 0.0), "no connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_device_that_keeps_all_but_one_fails_and_is_told_which(timeline: Timeline, words: str) -> None:
    verdict = long.all_requirements(timeline)
    assert verdict.result is Result.FAIL
    assert words in verdict.evidence


@pytest.mark.parametrize(
    ("timeline", "words"),
    [
        (life("no second Subscribe"), "SUBSCRIBE: SUBSCRIBE 1 to t was not resent within 15 s"),
        (life("no second Publish"), "PUBLISH: PUBLISH 2 to t, QoS 1, 1 bytes was not resent within 15 s"),
        (life(retry=20), "PUBLISH: PUBLISH 2 to t, QoS 1, 1 bytes was not resent within 15 s"),
        (life(waits=(7.0, 5.2, 9.1, 6.0, 8.8, 5.5, 9.4)), "irregular"),
    ],
    ids=["SUBSCRIBE once", "PUBLISH once", "late", "irregular"],
)
def test_a_late_retry_and_waits_that_do_not_grow_are_warnings(timeline: Timeline, words: str) -> None:
    verdict = long.all_requirements(timeline)
    assert verdict.result is Result.WARN, verdict.evidence
    assert words in verdict.evidence


def test_only_what_was_asked_for_is_judged() -> None:
    asked = Settings(operations=("SUBSCRIBE",), scenarios=("KEEP_ALIVE",))
    verdict = long.all_requirements(life("no second Publish", waits=CONSTANT, settings=asked))
    assert verdict.result is Result.PASS, verdict.evidence
    assert verdict.evidence.startswith("SUBSCRIBE: ") and "KEEP_ALIVE: " in verdict.evidence
    assert "PUBLISH" not in verdict.evidence and "RECONNECT" not in verdict.evidence
