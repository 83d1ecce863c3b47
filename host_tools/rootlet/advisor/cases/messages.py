"""Device Advisor's cases of PUBLISH, SUBSCRIBE, PINGREQ and the persistent session."""

from rootlet.advisor.cases.tls import why_no_connect
from rootlet.advisor.grading import CaseVerdict, Grade, failed, not_run, passed, warned
from rootlet.advisor.stage import Behaviour, Stage, case
from rootlet.advisor.timeline import Event, Timeline
from rootlet.packets import Connect, Packet, Pingreq, Puback, Publish, Subscribe, name_of

MESSAGE = 77
"""The packet identifier of the server's message."""
SHOWN = 3
"""The number of topic filters in an evidence text."""
WITHIN = 90
"""The longest time for a retry, in seconds."""


def sends(kind: type[Packet], what: str) -> Grade:
    def grade(timeline: Timeline) -> CaseVerdict:
        found = timeline.received(kind)
        if not found:
            malformed = "".join(f"; {event.text}" for event in timeline.of("malformed")[:1])
            return failed(f"no {what}{malformed}" if timeline.received(Connect) else why_no_connect(timeline))
        return passed(f"{found[0].at:.1f} s: {describe(found[0])}")

    return grade


def describe(event: Event) -> str:
    packet = event.packet
    match packet:
        case Publish():
            again = ", DUP" if packet.duplicate else ""
            number = f" {packet.identifier}" if packet.qos else ""
            return f"PUBLISH{number} to {packet.topic}, QoS {packet.qos}, {len(packet.payload)} bytes{again}"
        case Subscribe():
            more = len(packet.filters) - SHOWN
            named = ", ".join(name for name, _ in packet.filters[:SHOWN]) + (f" and {more} more" if more > 0 else "")
            return f"SUBSCRIBE {packet.identifier} to {named}"
        case None:
            return event.text
    return name_of(packet)


def retries(kind: type[Publish] | type[Subscribe], within: float = WITHIN) -> Grade:
    """The verdict on resending a packet with the same identifier, on the same connection."""

    def grade(timeline: Timeline) -> CaseVerdict:
        numbered = [event for event in timeline.received(kind) if identifier(event)]
        if not numbered:
            name = kind.__name__.upper()
            if kind is Publish and timeline.received(kind):
                return not_run("the device publishes with QoS 0 only, which has no acknowledgement")
            return failed(f"no {name}" if timeline.received(Connect) else why_no_connect(timeline))
        first = numbered[0]
        again = [event for event in numbered[1:] if event.connection == first.connection and _same(first, event)]
        what = describe(first)
        if again and again[0].at - first.at <= within:
            evidence = f"{what}; resent after {again[0].at - first.at:.1f} s with the same identifier"
            packet = again[0].packet
            if isinstance(packet, Publish) and not packet.duplicate:
                return warned(evidence + ", but without DUP (MQTT 3.1.1 §3.3.1.1)")
            return passed(evidence)
        if again:
            return failed(f"{what}; resent only after {again[0].at - first.at:.1f} s")
        elsewhere = [event for event in numbered[1:] if content(event) == content(first)]
        if elsewhere:
            where = "on a new connection" if elsewhere[0].connection != first.connection else "with another identifier"
            return failed(f"{what}; again {where}: {describe(elsewhere[0])}")
        return failed(f"{what}; never resent on this connection")

    return grade


def identifier(event: Event) -> int:
    return getattr(event.packet, "identifier", 0)


def content(event: Event) -> object:
    packet = event.packet
    return (packet.topic, packet.payload) if isinstance(packet, Publish) else getattr(packet, "filters", None)


def _same(first: Event, other: Event) -> bool:
    return identifier(first) == identifier(other) and content(first) == content(other)


def gives_up_without_pingresp(timeline: Timeline) -> CaseVerdict:
    connects = timeline.received(Connect)
    if not connects or not isinstance(connects[0].packet, Connect):
        return failed(why_no_connect(timeline))
    keep_alive = connects[0].packet.keep_alive
    if not keep_alive:
        return failed("the keep-alive is 0: the device would never detect a dead connection")
    pings = timeline.received(Pingreq)
    if not pings:
        others = len(timeline.received(Publish))
        return not_run(
            f"no PINGREQ with a keep-alive of {keep_alive} s; the device sent {others} PUBLISH in that time instead"
        )
    end = [event for event in timeline.of("closed") if event.connection == pings[0].connection]
    if not end or end[0].facts["by"] != "device":
        return failed(f"PINGREQ at {pings[0].at:.1f} s got no PINGRESP, and the device kept the connection")
    return passed(f"ended the connection {end[0].at - pings[0].at:.1f} s after PINGREQ; keep-alive {keep_alive} s")


def keeps_session(timeline: Timeline) -> CaseVerdict:
    problem = _no_session(timeline)
    if problem:
        return problem
    second = timeline.received(Connect)[1].connection
    again = timeline.received(Subscribe, second)
    if again:
        return failed(f"session-present was 1, and the device subscribed again: {describe(again[0])}")
    answers = [event for event in timeline.received(Puback, second) if identifier(event) == MESSAGE]
    if not answers:
        return failed(f"the stored message (PUBLISH {MESSAGE}) got no PUBACK")
    return passed(f"the stored message got its PUBACK at {answers[0].at:.1f} s; no new SUBSCRIBE")


def renews_session(timeline: Timeline) -> CaseVerdict:
    problem = _no_session(timeline)
    if problem:
        return problem
    second = timeline.received(Connect)[1]
    again = timeline.received(Subscribe, second.connection)
    if not again:
        return failed("session-present was 0, and the device did not subscribe again")
    return passed(f"{describe(again[0])}, {again[0].at - second.at:.1f} s after the CONNECT that found no session")


def _no_session(timeline: Timeline) -> CaseVerdict | None:
    connects = timeline.received(Connect)
    if not connects:
        return failed(why_no_connect(timeline))
    if not timeline.received(Subscribe):
        return failed("the device never subscribed")
    if len(connects) < 2:
        return failed("the device never reconnected")
    if any(isinstance(event.packet, Connect) and event.packet.clean_session for event in connects):
        return failed("CONNECT requests a clean session: the server keeps nothing for this device")
    return None


@case("MQTT_Publish", "Publishes", sends(Publish, "PUBLISH"), 15, starred=True)
async def publish(stage: Stage) -> None:
    """The server behaves correctly. The device must publish something."""
    client = await stage.connection()
    await client.packet(Publish, timeout=120)


@case("MQTT_Publish_Retry_No_Puback", "Resends PUBLISH without PUBACK", retries(Publish), 16, timed=True)
async def publish_retry_no_puback(stage: Stage) -> None:
    """A QoS 1 PUBLISH gets no PUBACK. The device must resend it on this connection, with the same identifier."""
    client = await stage.connection(Behaviour(withhold=frozenset({Publish})))
    first = await client.packet(Publish, lambda packet: packet.qos == 1, timeout=120)
    await client.packet(Publish, lambda packet: packet.identifier == first.identifier, timeout=WITHIN)


@case("MQTT_Subscribe_Retry_No_Suback", "Resends SUBSCRIBE without SUBACK", retries(Subscribe), 17, timed=True)
async def subscribe_retry_no_suback(stage: Stage) -> None:
    """A SUBSCRIBE gets no SUBACK. The device must resend it on this connection, with the same identifier."""
    client = await stage.connection(Behaviour(withhold=frozenset({Subscribe})))
    first = await client.packet(Subscribe)
    await client.packet(Subscribe, lambda packet: packet.identifier == first.identifier, timeout=WITHIN)


@case("MQTT_Subscribe", "Subscribes", sends(Subscribe, "SUBSCRIBE"), 18, starred=True)
async def subscribe(stage: Stage) -> None:
    """The server behaves correctly. The device must subscribe to something."""
    client = await stage.connection()
    await client.packet(Subscribe, timeout=120)


@case("MQTT_No_Ack_PingResp", "Gives up without PINGRESP", gives_up_without_pingresp, 19, timed=True, limit=4000)
async def no_ack_pingresp(stage: Stage) -> None:
    """PINGREQ gets no PINGRESP. The device must end the connection."""
    client = await stage.attempt(Behaviour(withhold=frozenset({Pingreq})))
    keep_alive = (await client.packet(Connect)).keep_alive
    await client.packet(Pingreq, timeout=2 * keep_alive or 60)
    await client.ended(1.5 * keep_alive)


@case("MQTT_Persistent_Session_Happy_Case", "Persistent session", keeps_session, 20, timed=True)
async def persistent_session_happy_case(stage: Stage) -> None:
    """After a reconnect the session exists, with a message. The device must acknowledge it, and must not subscribe again."""
    topic = await lose_connection(stage)
    client = await stage.connection(Behaviour(session_present=True))
    await client.send(Publish(topic, b"{}", 1, MESSAGE))
    await client.packet(Puback, lambda packet: packet.identifier == MESSAGE)
    await client.ended(5)


@case("MQTT_Expired_Persistent_Session", "Expired persistent session", renews_session, 21, timed=True)
async def expired_persistent_session(stage: Stage) -> None:
    """After a reconnect the session is gone. The device must subscribe again."""
    await lose_connection(stage)
    client = await stage.connection(Behaviour(session_present=False))
    await client.packet(Subscribe)


async def lose_connection(stage: Stage) -> str:
    """Let the device connect and subscribe, then disconnect it. Returns a topic that it subscribed to."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.ended(2)
    await client.close()
    return topic
