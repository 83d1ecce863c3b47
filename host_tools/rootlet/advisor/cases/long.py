"""Device Advisor's long duration test: one device, one long run, and what AWS calls operations and scenarios."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

from rootlet.advisor import grading
from rootlet.advisor.cases.connect import judge_backoff, leave_waiting
from rootlet.advisor.cases.messages import (
    MESSAGE,
    PROMPT,
    answer_nothing,
    describe,
    hangs_up_without_answers,
    identifier,
    keeps_session,
    lose_connection,
)  # fmt: skip
from rootlet.advisor.cases.tls import why_no_connect
from rootlet.advisor.grading import CaseVerdict, Result, failed, passed, warned
from rootlet.advisor.stage import Behaviour, Client, Stage, case
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connect, Puback, Publish, Suback, Subscribe
from rootlet.words import number_of

LARGE = 8192
"""Bytes of the large payload."""
SMALL_MESSAGE, LARGE_MESSAGE = MESSAGE + 1, MESSAGE + 2
DROPS = 3
HELD, AWAY = (5, 40), (1, 20)
"""Seconds, from least to most, for which a connection is held and then the server is away."""
PROVEN = 35
"""Seconds after which a connection counts as one that worked."""
TRIES = 3
"""Connections on which an operation may be seen: AWS begins it again where the device loses its connection."""
BASIC = "OPERATIONS"
KINDS: dict[str, type[Publish] | type[Subscribe]] = {"PUBLISH": Publish, "SUBSCRIBE": Subscribe}


def all_requirements(timeline: Timeline) -> CaseVerdict:
    """The worst of what was asked for; the evidence names each that failed or warned."""
    if not timeline.received(Connect):
        return failed(why_no_connect(timeline))
    settings = timeline.settings
    basic = timeline.between(BASIC, MARKS)
    verdicts = {name: _retried(basic, KINDS[name]) for name in settings.operations}
    for name in settings.scenarios:
        part = timeline.between(name, MARKS)
        verdicts[name] = SCENARIOS[name][1](part) if part else failed("the run ended before this step")
    for result in (Result.FAIL, Result.WARN):
        found = [f"{name}: {verdict.evidence}" for name, verdict in verdicts.items() if verdict.result is result]
        if found:
            return CaseVerdict(result, "; ".join(found))
    return CaseVerdict(Result.PASS, "; ".join(f"{name}: {verdict.evidence}" for name, verdict in verdicts.items()))


def _retried(timeline: Timeline | None, kind: type[Publish] | type[Subscribe]) -> CaseVerdict:
    sent = timeline.received(kind) if timeline else []
    numbered = [event for event in sent if identifier(event)]
    if not sent:
        return failed("none was sent")
    if not numbered:
        return passed("with QoS 0, which is not retried")
    for first, again in itertools.combinations(numbered, 2):
        waited = again.at - first.at
        if identifier(again) == identifier(first) and again.connection == first.connection and waited <= PROMPT:
            return passed(f"resent after {waited:.1f} s")
    return warned(f"{describe(numbered[0])} was not resent within {PROMPT} s")


def _acknowledged(number: int) -> grading.Grade:
    def grade(timeline: Timeline) -> CaseVerdict:
        answers = [event for event in timeline.received(Puback) if identifier(event) == number]
        return passed(f"PUBACK at {answers[0].at:.1f} s") if answers else failed("no PUBACK")

    return grade


def _came_back(times: int) -> grading.Grade:
    def grade(timeline: Timeline) -> CaseVerdict:
        back = len(timeline.received(Connect))
        return (passed if back >= times else failed)(f"reconnected {number_of(back, 'time')}")

    return grade


def _backed_off(timeline: Timeline) -> CaseVerdict:
    waits = grading.waits(timeline)
    wanted = timeline.settings.backoff_connection_attempts
    if len(waits) < wanted:
        return failed(f"reconnected {number_of(len(waits), 'time')} of {wanted}")
    return judge_backoff([waits[:wanted]], grading.noise(timeline), jitter=False)


async def _operations(stage: Stage) -> None:
    """SUBACK and PUBACK come after the retry, or PROMPT seconds late."""
    left = set(stage.settings.operations)
    for _ in range(TRIES):
        if not left:
            return
        client = await stage.connection(Behaviour(withhold=frozenset({Publish, Subscribe})))
        done = await asyncio.gather(*(_late_answer(client, name) for name in sorted(left)))
        left -= {name for name in done if name}
        await client.close()


async def _late_answer(client: Client, name: str) -> str | None:
    """Answer the first packet of an operation late; its name, once it was answered."""
    kind = KINDS[name]

    async def play() -> None:
        first = await client.packet(kind, lambda packet: bool(packet.identifier), timeout=120)
        await client.quietly(client.packet(kind, lambda packet: packet.identifier == first.identifier, PROMPT))
        codes = tuple(min(qos, 1) for _, qos in first.filters) if isinstance(first, Subscribe) else ()
        await client.send(Suback(first.identifier, codes) if codes else Puback(first.identifier))

    await client.quietly(play())
    return None if client.closed else name


async def _puback_qos_1(stage: Stage) -> None:
    await _message(stage, SMALL_MESSAGE, b"{}")


async def _receive_large_payload(stage: Stage) -> None:
    await _message(stage, LARGE_MESSAGE, b"x" * LARGE)


async def _message(stage: Stage, number: int, payload: bytes) -> None:
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.send(Publish(topic, payload, 1, number))
    await client.acknowledged(number)
    await client.close()


async def _persistent_session(stage: Stage) -> None:
    topic = await lose_connection(stage)
    client = await stage.connection(Behaviour(session_present=True))
    await client.send(Publish(topic, b"{}", 1, MESSAGE))
    await client.acknowledged(MESSAGE)
    await client.ended(3)
    await client.close()


async def _keep_alive(stage: Stage) -> None:
    await answer_nothing(stage, session_present=True)


async def _intermittent_connectivity(stage: Stage) -> None:
    draw = random.Random(stage.environment.seed)  # noqa: S311 - to be repeated with the seed
    for _ in range(DROPS):
        client = await stage.connection(Behaviour(session_present=True))
        await client.ended(draw.uniform(*HELD))
        await _away(stage, client, draw.uniform(*AWAY))


async def _reconnect_back_off(stage: Stage) -> None:
    # A connection that works for a while first: a device may begin with short waits after that, and only after that.
    client = await stage.connection(Behaviour(session_present=True))
    await client.ended(PROVEN)
    await client.close()
    await leave_waiting(stage, stage.settings.backoff_connection_attempts)


async def _long_server_disconnect(stage: Stage) -> None:
    client = await stage.connection()
    await _away(stage, client, 60 * stage.settings.long_server_disconnect_time)
    await stage.connection()


async def _away(stage: Stage, client: Client, seconds: float) -> None:
    stage.endpoint.stop_listening()
    await client.reset()
    await stage.pause(seconds)
    await stage.endpoint.listen_again()


SCENARIOS: dict[str, tuple[Callable[[Stage], Awaitable[None]], grading.Grade]] = {
    "PUBACK_QOS_1": (_puback_qos_1, _acknowledged(SMALL_MESSAGE)),
    "RECEIVE_LARGE_PAYLOAD": (_receive_large_payload, _acknowledged(LARGE_MESSAGE)),
    "PERSISTENT_SESSION": (_persistent_session, keeps_session),
    "KEEP_ALIVE": (_keep_alive, hangs_up_without_answers),
    "INTERMITTENT_CONNECTIVITY": (_intermittent_connectivity, _came_back(DROPS)),
    "RECONNECT_BACK_OFF": (_reconnect_back_off, _backed_off),
    "LONG_SERVER_DISCONNECT": (_long_server_disconnect, _came_back(2)),
}
"""What is done in a scenario, and how its part of the timeline is graded."""
MARKS = (BASIC, *SCENARIOS)


@case("MQTT_Long_Duration", "Long duration", all_requirements, 26, timed=True, long=True, limit=20_000,
      settings=("operations", "scenarios", "backoff_connection_attempts", "long_server_disconnect_time", "trigger_topic"),
      )  # fmt: skip
async def long_duration(stage: Stage) -> None:
    """Late SUBACK and PUBACK, a large payload, a stored message, no answers, drops, refusals, ten minutes' outage."""
    stage.note(BASIC)
    await _operations(stage)
    for name, (play, _) in SCENARIOS.items():
        if name in stage.settings.scenarios:
            stage.note(name)
            await play(stage)
