"""Grading: pure functions over recorded timelines. Backoff as Device Advisor judges it, at any pace and with noise."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rootlet.advisor import cases, grading
from rootlet.advisor.cases import connect, messages, services, tls
from rootlet.advisor.grading import Backoff, CaseVerdict, Result, classify
from rootlet.advisor.settings import Settings
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connack, Connect, Packet, Publish, Subscribe


def noisy(waits: list[float], seed: int) -> list[float]:
    randomness = random.Random(seed)
    return [wait + randomness.uniform(0, grading.NOISE) for wait in waits]


@settings(deadline=None)
@given(st.floats(0.1, 120), st.integers(4, 10), st.integers())
def test_equal_waits_are_constant(wait: float, count: int, seed: int) -> None:
    assert classify([noisy([wait] * count, seed), noisy([wait] * count, seed + 1)]) is Backoff.CONSTANT


@settings(deadline=None)
@given(st.floats(1, 20), st.floats(2, 20), st.integers(4, 8), st.integers())
def test_waits_that_grow_by_the_same_are_linear(first: float, step: float, count: int, seed: int) -> None:
    waits = [first + step * number for number in range(count)]
    assert classify([noisy(waits, seed)]) in (Backoff.LINEAR, Backoff.CONSTANT)


@settings(deadline=None)
@given(st.floats(1, 5), st.floats(1.6, 3), st.integers(5, 8), st.floats(40, 400), st.integers())
def test_waits_that_grow_by_the_same_factor_are_strictly_exponential(
    first: float, factor: float, count: int, cap: float, seed: int
) -> None:
    waits = [min(max(cap, 1.2 * first * factor**3), first * factor**number) for number in range(count)]
    assert classify([noisy(waits, seed)]) is Backoff.EXPONENTIAL


def test_strictly_exponential_once_and_then_at_its_cap_is_still_that() -> None:
    assert classify([[1, 2, 4, 8, 16], [32, 32, 32, 32, 32]]) is Backoff.EXPONENTIAL


@settings(max_examples=300, deadline=None)
@given(st.integers())
def test_a_device_that_never_randomises_is_never_taken_for_one_that_does(seed: int) -> None:
    for waits in ([5.0] * 5, [1.0, 2, 3, 4, 5], [1.0, 2, 4, 8, 16]):
        assert classify([noisy(waits, seed), noisy(waits, seed + 1)]) not in (Backoff.JITTERED, Backoff.ERRATIC)


def full_jitter(randomness: random.Random, base: float = 2, cap: float = 60, first: int = 0, count: int = 5) -> list[float]:
    return [randomness.uniform(1, min(cap, base * 2**number)) for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("rounds", "exponential"), [([(0, 5), (6, 5)], 0), ([(0, 7)], 5)], ids=["case 10", "cases 11, 12, 14 and 26"]
)
def test_full_jitter_is_taken_for_what_it_is_nearly_always(rounds: list[tuple[int, int]], exponential: int) -> None:
    kinds = []
    for seed in range(1000):
        randomness = random.Random(seed)
        kinds.append(classify([full_jitter(randomness, first=first, count=count) for first, count in rounds]))
    assert kinds.count(Backoff.JITTERED) >= 980
    assert {Backoff.CONSTANT, Backoff.LINEAR}.isdisjoint(kinds)
    assert kinds.count(Backoff.EXPONENTIAL) <= exponential  # which passes where no jitter is asked for


def test_waits_that_vary_and_do_not_grow_are_not_backoff() -> None:
    kinds = []
    for seed in range(500):
        randomness = random.Random(seed)
        kinds.append(classify([[randomness.uniform(1, 3) for _ in range(5)] for _ in range(2)]))
    assert kinds.count(Backoff.JITTERED) <= 25


def test_equal_waits_after_a_longer_one_are_constant() -> None:
    assert classify([[3.0, 0.0, 0.0, 0.1, 0.0]]) is Backoff.CONSTANT


def test_two_waits_are_too_few() -> None:
    assert classify([[1.0, 2.0]]) is Backoff.TOO_FEW


class Tape(Timeline):
    """A timeline that a test writes by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(lambda: self.now)

    def at(
        self, now: float, kind: str, connection: int = 1, text: str = "", packet: Packet | None = None, **facts: object
    ) -> None:
        self.now = now
        self.add(kind, connection, text, packet=packet, **facts)


def attempts(waits: list[float], hold: float = 5, *, accepted: bool = True) -> Tape:
    tape, now = Tape(), 0.0
    for number, wait in enumerate([*waits, 0.0], 1):
        tape.at(now, "tcp", number)
        tape.at(now, "in", number, packet=Connect("a"))
        if accepted:
            tape.at(now, "out", number, packet=Connack())
        tape.at(now + hold, "closed", number, by="server")
        now += hold + wait
    return tape


@pytest.mark.parametrize(
    ("waits", "result"),
    [
        ([5.0] * 11, Result.FAIL),
        ([float(n) for n in range(1, 12)], Result.FAIL),
        ([1.0, 2, 4, 8, 16, 32, 64, 64, 64, 64, 64], Result.WARN),
        ([1.3, 2.9, 6.6, 3.8, 19, 40, 22, 44, 9, 50, 27], Result.PASS),
        ([1.3, 2.9], Result.FAIL),
    ],
)
def test_jitter_is_graded_as_device_advisor_grades_it(waits: list[float], result: Result) -> None:
    assert connect.backs_off(12, jitter=True)(attempts(waits)).result is result


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("MQTT_Connect_Exponential_Backoff_Retries", Result.PASS),
        ("MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect", Result.WARN),
        ("MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection", Result.WARN),
    ],
)
def test_strictly_exponential_is_a_warning_where_aws_asks_for_jitter(name: str, result: Result) -> None:
    grade = cases.catalogue()[name].grade
    assert grade(attempts([1.0, 2, 4, 8, 16, 32, 64])).result is result
    assert grade(attempts([5.0] * 7)).result is Result.FAIL


def test_reconnection_attempts_are_as_many_as_were_asked_for() -> None:
    grade = cases.catalogue()["MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect"].grade
    tape = attempts([1.3, 2.9, 6.6, 3.8, 19])
    assert "6 connections, and 8 are needed" in grade(tape).evidence
    tape.settings = Settings(reconnection_attempts=5)
    assert grade(tape).result is Result.PASS


def test_a_second_is_the_least_that_a_device_must_wait() -> None:
    assert connect.waits_a_second(attempts([1.0, 1.5])).result is Result.PASS
    assert connect.waits_a_second(attempts([1.0, 1.5], accepted=False)).result is Result.FAIL
    assert connect.waits_a_second(attempts([0.2, 1.5])).result is Result.FAIL
    assert connect.waits_a_second(attempts([])).result is Result.FAIL


def test_a_server_that_must_be_refused() -> None:
    refuses, with_alert = tls.refuses(), tls.refuses(alert_wanted=True)
    silent = Tape()
    silent.at(0, "tcp")
    silent.at(0.1, "hello", server_name="x")
    silent.at(0.2, "closed", by="device")
    assert refuses(silent).result is Result.PASS
    assert with_alert(silent).result is Result.WARN
    alerted = Tape()
    alerted.at(0, "tcp")
    alerted.at(0.1, "hello", server_name="x")
    alerted.at(0.1, "alert-in", text="certificate_expired")
    alerted.at(0.2, "closed", by="device")
    assert with_alert(alerted).result is Result.PASS
    trusting = Tape()
    trusting.at(0, "tcp")
    trusting.at(0.1, "tls")
    trusting.at(0.2, "in", packet=Connect("a"))
    assert refuses(trusting).result is Result.FAIL
    hanging = Tape()
    hanging.at(0, "tcp")
    assert refuses(hanging).result is Result.FAIL
    assert refuses(Tape()).result is Result.FAIL


def test_who_never_saw_the_certificate_has_not_refused_it() -> None:
    plain = Tape()
    plain.at(0, "tcp")
    plain.at(0.2, "closed", by="device")
    assert "no ClientHello" in tls.refuses()(plain).evidence
    unable = Tape()
    unable.at(0, "tcp")
    unable.at(0.1, "hello", server_name="x")
    unable.at(0.1, "alert-out", text="handshake_failure", fatal=True)
    unable.at(0.1, "tls-failed", text="no shared cipher")
    unable.at(0.2, "closed", by="server")
    for grade in (tls.refuses(), tls.refuses(alert_wanted=True)):
        assert grade(plain).result is grade(unable).result is Result.FAIL
    assert "alert handshake_failure: no shared cipher" in tls.refuses()(unable).evidence


def test_a_warning_alert_in_the_handshake_is_a_warning() -> None:
    tape = Tape()
    tape.at(0, "hello", server_name="x")
    tape.at(0.1, "alert-in", text="user_canceled", fatal=False)
    tape.at(0.2, "tls", version="TLSv1.2", suite="s", certificate="CN=a")
    assert tls.completes_handshake(tape).result is Result.WARN


PUBLISH = Publish("t", b"1", 1, 7)


@pytest.mark.parametrize(
    ("again", "connection", "at", "result"),
    [
        (Publish("t", b"1", 1, 7, duplicate=True), 1, 10, Result.PASS),
        (Publish("t", b"1", 1, 7), 1, 10, Result.WARN),
        (Publish("t", b"1", 1, 8), 1, 10, Result.FAIL),
        (Publish("t", b"1", 1, 7, duplicate=True), 2, 10, Result.FAIL),
        (Publish("t", b"2", 1, 7), 1, 10, Result.FAIL),
        (Publish("t", b"1", 1, 7, duplicate=True), 1, 61, Result.WARN),
        (Publish("t", b"1", 1, 7, duplicate=True), 1, 400, Result.FAIL),
    ],
)
def test_a_retry_is_the_same_packet_on_the_same_connection(
    again: Publish, connection: int, at: float, result: Result
) -> None:
    tape = Tape()
    tape.at(0, "in", packet=Connect("a"))
    tape.at(1, "in", packet=PUBLISH)
    tape.at(at, "in", connection, packet=again)
    assert messages.retries(Publish)(tape).result is result


@pytest.mark.parametrize(
    ("next_one", "connection", "words"),
    [
        (Publish("t", b"1", 1, 8), 1, "never resent on this connection; 1 others were sent"),
        (Publish("t", b"1", 1, 8), 2, "never resent on this connection; 1 others were sent"),
        (Publish("t", b"1", 1, 8, duplicate=True), 1, "again with another identifier"),
        (PUBLISH, 2, "again on a new connection"),
    ],
)
def test_the_next_periodic_message_is_not_taken_for_a_retry(next_one: Publish, connection: int, words: str) -> None:
    tape = Tape()
    tape.at(0, "in", packet=Connect("a"))
    tape.at(1, "in", packet=PUBLISH)
    tape.at(75, "in", connection, packet=next_one)
    assert words in messages.retries(Publish)(tape).evidence


def test_a_retry_is_looked_for_on_the_topic_that_was_asked_for() -> None:
    tape = Tape()
    tape.settings = Settings(topic_for_publish_validation="u")
    tape.at(0, "in", packet=Connect("a"))
    for at in (1, 11):
        tape.at(at, "in", packet=PUBLISH)
    assert messages.sends(Publish)(tape).result is messages.retries(Publish)(tape).result is Result.FAIL
    for at in (2, 12):
        tape.at(at, "in", packet=Publish("u", b"1", 1, 9, duplicate=at == 12))
    assert messages.sends(Publish)(tape).result is messages.retries(Publish)(tape).result is Result.PASS


def test_what_has_no_acknowledgement_cannot_be_retried() -> None:
    tape = Tape()
    tape.at(0, "in", packet=Connect("a"))
    tape.at(1, "in", packet=Publish("t"))
    assert messages.retries(Publish)(tape).result is Result.NOT_RUN


def session(clean: bool, subscribes: tuple[int, ...], qos: int = 1) -> Tape:
    tape = Tape()
    for connection in (1, 2):
        tape.at(connection * 10, "tcp", connection)
        tape.at(connection * 10, "in", connection, packet=Connect("a", clean_session=clean))
        tape.at(connection * 10, "out", connection, packet=Connack())
        if connection in subscribes:
            tape.at(connection * 10 + 1, "in", connection, packet=Subscribe(1, (("t", qos),)))
    return tape


def test_the_persistent_session() -> None:
    assert messages.renews_session(session(False, (1, 2))).result is Result.PASS
    assert messages.renews_session(session(False, (1,))).result is Result.FAIL
    assert messages.renews_session(session(True, (1, 2))).result is Result.FAIL
    again = messages.keeps_session(session(False, (1, 2)))
    assert again.result is Result.FAIL
    assert "subscribed again" in again.evidence
    assert "no PUBACK" in messages.keeps_session(session(False, (1,))).evidence
    assert "with QoS 0" in messages.keeps_session(session(False, (1,), qos=0)).evidence
    elsewhere = session(False, (1, 2))
    elsewhere.settings = Settings(trigger_topic="u")
    assert "never subscribed to TRIGGER_TOPIC u" in messages.renews_session(elsewhere).evidence


@pytest.mark.parametrize(
    ("action", "resource", "result"),
    [
        ("iot:Publish", "arn:aws:iot:eu-west-1:1:topic/dt/leaf/${iot:Connection.Thing.ThingName}/x", Result.PASS),
        ("iot:*", "arn:aws:iot:eu-west-1:1:topic/a", Result.FAIL),
        ("iot:Publish", "*", Result.FAIL),
        ("iot:Subscribe", "arn:aws:iot:eu-west-1:1:topicfilter/*", Result.FAIL),
        ("iot:Connect", "arn:aws:iot:eu-west-1:1:client/*", Result.FAIL),
        ("iot:Publish", ["arn:aws:iot:eu-west-1:1:topic/dt/*"], Result.FAIL),
        ("iot:Publish", "arn:aws:iot:eu-west-1:1:topic/dt/${iot:Connection.Thing.ThingName}/*", Result.WARN),
        (
            "iot:Publish",
            "arn:aws:iot:eu-west-1:1:topic/$aws/things/${iot:Connection.Thing.ThingName}/jobs/*/update",
            Result.WARN,
        ),
        ("iot:Publish", "arn:aws:iot:eu-west-1:1:topic/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*", Result.WARN),
        ("iot:Publish", "arn:aws:iot:eu-west-1:1:topic/dt/${iot:Connection.Thing.ThingName}/?", Result.WARN),
        ("iot:Publish", "arn:aws:iot:*:1:topic/dt/${iot:Connection.Thing.ThingName}/x", Result.WARN),
        ("iot:Publish", "arn:aws:iot:eu-west-1:?:topic/dt/${iot:Connection.Thing.ThingName}/x", Result.WARN),
        ("iot:Publish", "arn:aws:iot:eu-west-1:1:topic/$aws/things/*/jobs/*/update", Result.FAIL),
    ],
)
def test_a_policy_with_wildcards_is_found_out(action: str, resource: object, result: Result) -> None:
    assert judged({"Effect": "Allow", "Action": action, "Resource": resource}).result is result


def judged(statement: dict[str, object]) -> CaseVerdict:
    tape = Tape()
    tape.at(0, "note", policy={"Version": "2012-10-17", "Statement": [statement]})
    return services.least_privilege(tape)


def test_a_policy_that_allows_all_but_something_is_too_wide() -> None:
    assert judged({"Effect": "Allow", "NotAction": "iot:Connect", "Resource": "arn:x:topic/a"}).result is Result.FAIL
    assert judged({"Effect": "Perhaps"}).result is Result.FAIL
