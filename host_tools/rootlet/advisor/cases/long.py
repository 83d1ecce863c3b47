"""Device Advisor's long duration test: one device, one long run, nine requirements."""

import itertools

from rootlet.advisor import grading
from rootlet.advisor.cases.connect import judge_backoff
from rootlet.advisor.cases.messages import MESSAGE, describe, identifier
from rootlet.advisor.cases.tls import why_no_connect
from rootlet.advisor.grading import CaseVerdict, Result, failed
from rootlet.advisor.stage import Behaviour, Stage, case
from rootlet.advisor.timeline import Event, Timeline
from rootlet.packets import Connect, Packet, Pingreq, Puback, Publish, Subscribe

RETRY_WITHIN = 15
"""Seconds (Device Advisor, MQTT long duration)."""
LARGE = 8192
"""Bytes of the large payload."""
DROPS, REFUSALS, AWAY = 3, 8, 600
LARGE_MESSAGE = MESSAGE + 1
KEEP_ALIVE_IDLE = "keep-alive without traffic"
INTERMITTENT = "intermittent connectivity"
BACKOFF = "reconnect backoff"
LONG_DISCONNECT = "long disconnect"


def all_requirements(timeline: Timeline) -> CaseVerdict:
    """The worst of the requirements; the evidence names each that failed or warned."""
    if not timeline.received(Connect):
        return failed(why_no_connect(timeline))
    verdicts = {
        "subscribe retry": _retried(timeline, Subscribe),
        "publish retry": _retried(timeline, Publish),
        "PUBACK of a large payload": _acknowledged(timeline, LARGE_MESSAGE),
        "persistent session": _session_kept(timeline),
        "keep-alive": _pinged(timeline),
        INTERMITTENT: _came_back(timeline, INTERMITTENT, DROPS),
        BACKOFF: _backed_off(timeline),
        LONG_DISCONNECT: _came_back(timeline, LONG_DISCONNECT, 1),
    }
    for result in (Result.FAIL, Result.WARN):
        found = [f"{name}: {verdict.evidence}" for name, verdict in verdicts.items() if verdict.result is result]
        if found:
            return CaseVerdict(result, "; ".join(found))
    return CaseVerdict(Result.PASS, "; ".join(f"{name}: {verdict.evidence}" for name, verdict in verdicts.items()))


def _retried(timeline: Timeline, kind: type[Packet]) -> CaseVerdict:
    numbered = [event for event in timeline.received(kind) if identifier(event)]
    if not numbered:
        return failed("none was sent")
    first = numbered[0]
    again = [e for e in numbered[1:] if identifier(e) == identifier(first) and e.connection == first.connection]
    if not again:
        return failed(f"{describe(first)} was never resent")
    waited = again[0].at - first.at
    return _judged(waited <= RETRY_WITHIN, f"resent after {waited:.1f} s")


def _acknowledged(timeline: Timeline, number: int) -> CaseVerdict:
    answers = [event for event in timeline.received(Puback) if identifier(event) == number]
    return _judged(bool(answers), f"PUBACK at {answers[0].at:.1f} s" if answers else "no PUBACK")


def _session_kept(timeline: Timeline) -> CaseVerdict:
    stored = [event for event in timeline.sent(Publish) if identifier(event) == MESSAGE]
    if not stored:
        return failed("the run ended before this step")
    if timeline.received(Subscribe, stored[0].connection):
        return failed("the device subscribed again, though session-present was 1")
    return _acknowledged(timeline, MESSAGE)


def _pinged(timeline: Timeline) -> CaseVerdict:
    idle = _mark(timeline, KEEP_ALIVE_IDLE)
    if idle is None:
        return failed("the run ended before this step")
    kept = [e for e in (*timeline.received(Pingreq), *timeline.received(Publish)) if e.at > idle.at]
    return _judged(
        bool(kept), f"{describe(kept[0])} after {kept[0].at - idle.at:.0f} s" if kept else "the device sent nothing"
    )


def _came_back(timeline: Timeline, mark: str, times: int) -> CaseVerdict:
    began = _mark(timeline, mark)
    if began is None:
        return failed("the run ended before this step")
    ends = [event.at for event in timeline.of("note") if event.at > began.at]
    until = ends[0] if ends else float("inf")
    back = [event for event in timeline.received(Connect) if began.at < event.at < until]
    return _judged(len(back) >= times, f"reconnected {len(back)} times")


def _backed_off(timeline: Timeline) -> CaseVerdict:
    began = _mark(timeline, BACKOFF)
    if began is None:
        return failed("the run ended before this step")
    attempts = [attempt for attempt in timeline.attempts() if attempt.began >= began.at]
    refused = attempts[:REFUSALS]
    waits = [after.began - before.ended for before, after in itertools.pairwise(refused) if before.ended is not None]
    return judge_backoff([waits], grading.noise(timeline), jitter=False)


def _mark(timeline: Timeline, text: str) -> Event | None:
    return next((event for event in timeline.of("note") if event.text == text), None)


def _judged(good: bool, evidence: str) -> CaseVerdict:
    return CaseVerdict(Result.PASS if good else Result.FAIL, evidence)


@case("MQTT_Long_Duration", "Long duration", all_requirements, 26, timed=True, long=True, limit=6000)
async def long_duration(stage: Stage) -> None:
    """Withheld SUBACK and PUBACK, a large payload, a stored message, silence, drops, refusals, ten minutes' outage."""
    client = await stage.connection(Behaviour(withhold=frozenset({Publish, Subscribe})))
    subscribe = await client.packet(Subscribe)
    publish = await client.packet(Publish, lambda packet: packet.qos == 1, timeout=120)
    await client.quietly(client.packet(Subscribe, lambda packet: packet.identifier == subscribe.identifier, 30))
    await client.quietly(client.packet(Publish, lambda packet: packet.identifier == publish.identifier, 30))
    await client.close()

    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.send(Publish(topic, b"x" * LARGE, 1, LARGE_MESSAGE))
    await client.acknowledged(LARGE_MESSAGE)
    await client.close()

    client = await stage.connection(Behaviour(session_present=True))
    await client.send(Publish(topic, b"{}", 1, MESSAGE))
    await client.acknowledged(MESSAGE)
    await client.ended(3)
    stage.note(KEEP_ALIVE_IDLE)
    await client.quietly(client.packet(Pingreq, timeout=120))
    await client.close()

    stage.note(INTERMITTENT)
    for _ in range(DROPS):
        client = await stage.connection(Behaviour(session_present=True))
        await client.ended(35)
        await client.reset()

    stage.note(BACKOFF)
    for _ in range(REFUSALS):
        client = await stage.connection(Behaviour(withhold=frozenset({Connect})))
        await client.ended(5)
        await client.close()

    stage.note(LONG_DISCONNECT)
    stage.endpoint.stop_listening()
    await stage.pause(AWAY)
    await stage.endpoint.listen_again()
    await stage.connection()
