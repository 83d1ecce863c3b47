"""Device Advisor's cases of CONNECT and reconnecting: how long a device waits, and how its waits grow."""

import itertools

from rootlet.advisor import grading
from rootlet.advisor.cases.tls import acknowledges, why_no_connect
from rootlet.advisor.grading import Backoff, CaseVerdict, Grade, failed, passed, warned
from rootlet.advisor.stage import Behaviour, Stage, case
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connect, Puback, Publish
from rootlet.words import number_of

SILENCE = 5
"""Seconds without a CONNACK after which the server disconnects."""
ROUND = 5
LEAST = 1
"""The shortest wait, in seconds, after a connection that had succeeded."""
SHORT_BY = 0.05
"""The measurement's tolerance for a wait, in seconds."""

NO_CONNACK = Behaviour(withhold=frozenset({Connect}))


def sends_connect(timeline: Timeline) -> CaseVerdict:
    connects = timeline.received(Connect)
    if not connects:
        malformed = timeline.of("malformed")
        return failed(malformed[0].text if malformed else why_no_connect(timeline))
    packet = connects[0].packet
    assert isinstance(packet, Connect)
    session = "clean" if packet.clean_session else "persistent"
    return passed(f"client ID {packet.client_id}, keep-alive {packet.keep_alive} s, {session} session")


def backs_off(needed: int | None = None, *, jitter: bool) -> Grade:
    """Constant and linear waits fail. Exponential waits warn where jitter is required, and so do waits that never grow.

    ``needed`` is the number of connections with CONNECT; None: one more than RECONNECTION_ATTEMPTS.
    """

    def grade(timeline: Timeline) -> CaseVerdict:
        least = needed or timeline.settings.reconnection_attempts + 1
        found = rounds(timeline)
        came = sum(attempt.connect is not None for attempt in timeline.attempts())
        if came < least:
            return failed(f"{number_of(came, 'connection')}, and {least} are needed; waits {_shown(found)}")
        return judge_backoff(found, grading.noise(timeline), jitter=jitter)

    return grade


def judge_backoff(found: list[list[float]], noise: float, *, jitter: bool) -> CaseVerdict:
    """The verdict on rounds of waits. Fewer than seven waits in all do not show whether jittered ones grow."""
    kind = grading.classify(found, noise)
    evidence = f"{kind}: waits {_shown(found)}"
    match kind:
        case Backoff.JITTERED:
            return passed(evidence)
        case Backoff.EXPONENTIAL:
            return warned(evidence + "; add jitter") if jitter else passed(evidence)
        case Backoff.ERRATIC:
            return warned(evidence)
        case _:
            return failed(evidence)


def rounds(timeline: Timeline) -> list[list[float]]:
    """The waits in rounds, which end where the server accepted a connection."""
    found: list[list[float]] = [[]]
    cuts = {event.connection for event in timeline.of("note") if event.text == ACCEPTED}
    attempts = timeline.attempts()
    for before, after in itertools.pairwise(attempts):
        if before.connection in cuts:
            found.append([])
        elif before.ended is not None:
            found[-1].append(max(0.0, after.began - before.ended))
    return found


ACCEPTED = "CONNACK: this one is allowed"


def waits_a_second(timeline: Timeline) -> CaseVerdict:
    """The verdict on the waits after connections that had succeeded."""
    found = [
        max(0.0, after.began - before.ended)
        for before, after in itertools.pairwise(timeline.attempts())
        if before.ended is not None and before.accepted
    ]
    if not found:
        return failed("the device never reconnected" if timeline.attempts() else "the device never connected")
    evidence = f"waits {grading.show(found)}"
    return passed(evidence) if min(found) >= LEAST - SHORT_BY else failed(evidence + f"; at least {LEAST} s are required")


def _shown(found: list[list[float]]) -> str:
    return " | ".join(grading.show(waits) for waits in found if waits) or "none"


@case("MQTT_Connect", "Sends CONNECT", sends_connect, 8, starred=True)
async def connect(stage: Stage) -> None:
    """The server behaves correctly. The device must send a valid CONNECT."""
    await stage.connection()


@case("MQTT_Client_Puback_QoS1", "Acknowledges QoS 1 messages", acknowledges, 9, settings=("trigger_topic", "payload_size"))
async def client_puback_qos1(stage: Stage) -> None:
    """Messages of 0 and 100 bytes and of 4 KiB (or PAYLOAD_SIZE). The device must acknowledge each."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    for identifier, size in ((1, 0), (2, 100), (65535, int(1024 * stage.settings.payload_size))):
        await client.send(Publish(topic, b"x" * size, 1, identifier))
        await client.packet(Puback)


@case(
    "MQTT_Connect_Jitter_Backoff_Retries", "Jitter backoff without CONNACK", backs_off(12, jitter=True), 10,
    starred=True, timed=True,
)  # fmt: skip
async def connect_jitter_backoff_retries(stage: Stage) -> None:
    """Five CONNECTs get no CONNACK, the sixth gets one; then all of it again. The device's waits must grow, with jitter."""
    for _ in range(2):
        await leave_waiting(stage, ROUND)
        client = await stage.connection()
        stage.note(ACCEPTED, client.number)
        await stage.pause(2)
        await client.close()


@case("MQTT_Connect_Exponential_Backoff_Retries", "Exponential backoff without CONNACK", backs_off(8, jitter=False), 11,
      timed=True)  # fmt: skip
async def connect_exponential_backoff_retries(stage: Stage) -> None:
    """Seven CONNECTs get no CONNACK. The device's waits must grow exponentially; with or without jitter."""
    await leave_waiting(stage, ROUND + 2)
    await stage.connection()


@case("MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect", "Backoff when the server disconnects",
      backs_off(jitter=True), 12, timed=True, settings=("reconnection_attempts",))  # fmt: skip
async def reconnect_backoff_on_server_disconnect(stage: Stage) -> None:
    """The server disconnects two seconds after CONNACK, again and again. The device's waits must grow, with jitter."""
    for _ in range(stage.settings.reconnection_attempts):
        client = await stage.connection()
        await client.ended(2)
        await client.close()
    await stage.connection()


@case("MQTT_ReconnectionAfterSuccessfulConnection", "Waits a second before it reconnects", waits_a_second, 13, timed=True)
async def reconnection_after_successful_connection(stage: Stage) -> None:
    """The server disconnects at once after CONNACK. The device must wait at least one second before it reconnects."""
    for _ in range(2):
        client = await stage.connection()
        await client.close()
    await stage.connection()


@case("MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection", "Backoff on an unstable connection",
      backs_off(jitter=True), 14, timed=True, settings=("reconnection_attempts",))  # fmt: skip
async def reconnect_backoff_on_unstable_connection(stage: Stage) -> None:
    """The connection breaks right after CONNACK, again and again. That is no success: waits must grow, with jitter."""
    for _ in range(stage.settings.reconnection_attempts):
        client = await stage.connection()
        await client.reset()
    await stage.connection()


async def leave_waiting(stage: Stage, times: int) -> None:
    """Leave that many CONNECTs without an answer; the server disconnects where the device does not."""
    for _ in range(times):
        client = await stage.connection(NO_CONNACK)
        await client.ended(SILENCE)
        await client.close()
