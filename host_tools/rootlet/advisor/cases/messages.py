"""Device Advisor's cases of PUBLISH, SUBSCRIBE, PINGREQ and the persistent session."""

from collections.abc import Callable

from rootlet.advisor.cases.tls import why_no_connect
from rootlet.advisor.grading import CaseVerdict, Grade, failed, not_run, passed, warned
from rootlet.advisor.settings import Settings
from rootlet.advisor.stage import Behaviour, Stage, case, subscribes_to
from rootlet.advisor.timeline import Event, Timeline, name_of_event
from rootlet.packets import Connect, Packet, Pingreq, Puback, Publish, Subscribe, name_of

MESSAGE = 77
"""The packet identifier of the server's message."""
SHOWN = 3
"""The number of topic filters in an evidence text."""
WITHIN = 90
"""The longest time for a retry, in seconds."""
PROMPT = 15
"""Seconds after which a retry is late: what Device Advisor's long duration test allows."""
ENDED = "the device has ended"
PING_BY, GIVE_UP_BY = 2, 1.5
"""Keep-alives until PINGREQ must have come, and from there until the device must have hung up."""


def sends(kind: type[Publish] | type[Subscribe]) -> Grade:
    """The verdict on a packet that the device must send, to the topics that the settings name."""

    def grade(timeline: Timeline) -> CaseVerdict:
        found = timeline.received(kind)
        if not found:
            malformed = "".join(f"; {event.text}" for event in timeline.of("malformed")[:1])
            name = kind.__name__.upper()
            return failed(f"no {name}{malformed}" if timeline.received(Connect) else why_no_connect(timeline))
        if missing := _missing_topics(timeline, kind):
            return failed(f"nothing for {', '.join(missing)}; the first was: {describe(found[0])}")
        return passed(f"{found[0].at:.1f} s: {describe(found[0])}")

    return grade


def _missing_topics(timeline: Timeline, kind: type[Publish] | type[Subscribe]) -> list[str]:
    """The topics of the settings that no packet of this kind has named."""
    wanted = wanted_topics(timeline.settings, kind)
    named = {topic for event in timeline.received(kind) for topic in topics(event.packet)}
    return [topic for topic in wanted if topic not in named]


def wanted_topics(settings: Settings, kind: type[Publish] | type[Subscribe]) -> tuple[str, ...]:
    """The topics to which the device must publish or subscribe, as the settings say."""
    if kind is Subscribe:
        return settings.topic_list_for_subscription_validation
    return (settings.topic_for_publish_validation,) if settings.topic_for_publish_validation is not None else ()


def topics(packet: Packet | None) -> tuple[str, ...]:
    """The topics that a packet publishes or subscribes to."""
    if isinstance(packet, Subscribe):
        return tuple(name for name, _ in packet.filters)
    return (packet.topic,) if isinstance(packet, Publish) else ()


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
    """The verdict on resending a packet with the same identifier, on the same connection. A late retry is a warning."""

    def grade(timeline: Timeline) -> CaseVerdict:
        wanted = wanted_topics(timeline.settings, kind)
        numbered = [event for event in timeline.received(kind) if identifier(event) and _concerns(event, wanted)]
        if not numbered:
            name = kind.__name__.upper()
            if kind is Publish and timeline.received(kind):
                if wanted:
                    return failed(f"nothing with QoS 1 for {', '.join(wanted)}")
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
            if again[0].at - first.at > PROMPT:
                return warned(evidence + f"; Device Advisor's long duration test asks for {PROMPT} s")
            return passed(evidence)
        if again:
            return failed(f"{what}; resent only after {again[0].at - first.at:.1f} s")
        elsewhere = [event for event in numbered[1:] if content(event) == content(first) and _is_retry(event, first)]
        if elsewhere:
            where = "on a new connection" if elsewhere[0].connection != first.connection else "with another identifier"
            return failed(f"{what}; again {where}: {describe(elsewhere[0])}")
        others = len(numbered) - 1
        return failed(f"{what}; never resent on this connection" + (f"; {others} others were sent" if others else ""))

    return grade


def _concerns(event: Event, wanted: tuple[str, ...]) -> bool:
    return not wanted or any(topic in wanted for topic in topics(event.packet))


def _is_retry(event: Event, first: Event) -> bool:
    # A PUBLISH with the same content, another identifier and no DUP is the application's next message, not a retry.
    packet = event.packet
    return isinstance(packet, Subscribe) or identifier(event) == identifier(first) or getattr(packet, "duplicate", False)


def identifier(event: Event) -> int:
    return getattr(event.packet, "identifier", 0)


def content(event: Event) -> object:
    packet = event.packet
    return (packet.topic, packet.payload) if isinstance(packet, Publish) else getattr(packet, "filters", None)


def _same(first: Event, other: Event) -> bool:
    return identifier(first) == identifier(other) and content(first) == content(other)


def hangs_up_without_answers(timeline: Timeline) -> CaseVerdict:
    """The verdict on a server that answers nothing but CONNECT: the device must end the connection, and go on."""
    connects = timeline.received(Connect)
    if not connects or not isinstance(connects[0].packet, Connect):
        return failed(why_no_connect(timeline))
    keep_alive = connects[0].packet.keep_alive
    if not keep_alive:
        return failed("the keep-alive is 0: the device would never detect a dead connection")
    connection = connects[0].connection
    asked = [e for e in timeline.of("in") if e.connection == connection and (identifier(e) or isinstance(e.packet, Pingreq))]
    end = [event for event in timeline.of("closed") if event.connection == connection]
    if not end or end[0].facts["by"] != "device":
        sent = f"the last packet without an answer is {name_of_event(asked[-1])}" if asked else "the device sent nothing"
        return failed(f"the device kept the connection though nothing was answered; {sent}; keep-alive {keep_alive} s")
    if any(event.text.endswith(ENDED) for event in timeline.of("note")):
        return failed(f"{ENDED}, and its connection with it")
    if not asked:
        return failed(f"the device ended the connection after {end[0].at - connects[0].at:.1f} s, and had asked nothing")
    pings = [event for event in asked if isinstance(event.packet, Pingreq)]
    since = pings[0] if pings else asked[0]
    waited = end[0].at - since.at
    return passed(f"ended the connection {waited:.1f} s after {name_of_event(since)}; keep-alive {keep_alive} s")


def keeps_session(timeline: Timeline) -> CaseVerdict:
    problem = _no_session(timeline)
    if problem:
        return problem
    second = timeline.received(Connect)[1].connection
    again = _subscriptions(timeline, second)
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
    again = _subscriptions(timeline, second.connection)
    if not again:
        return failed("session-present was 0, and the device did not subscribe again")
    return passed(f"{describe(again[0])}, {again[0].at - second.at:.1f} s after the CONNECT that found no session")


def _subscriptions(timeline: Timeline, connection: int) -> list[Event]:
    """The SUBSCRIBE packets of a connection, to TRIGGER_TOPIC if that is given."""
    trigger = timeline.settings.trigger_topic
    return [
        event
        for event in timeline.received(Subscribe, connection)
        if isinstance(event.packet, Subscribe) and (trigger is None or subscribes_to(event.packet, trigger))
    ]


def _no_session(timeline: Timeline) -> CaseVerdict | None:
    connects = timeline.received(Connect)
    if not connects:
        return failed(why_no_connect(timeline))
    first = _subscriptions(timeline, connects[0].connection)
    if not first:
        trigger = timeline.settings.trigger_topic
        return failed("the device never subscribed" + (f" to TRIGGER_TOPIC {trigger}" if trigger is not None else ""))
    if isinstance(first[0].packet, Subscribe) and not any(qos for _, qos in first[0].packet.filters):
        return failed(f"{describe(first[0])} with QoS 0: the server keeps no message for it")
    if len(connects) < 2:
        return failed("the device never reconnected")
    if any(isinstance(event.packet, Connect) and event.packet.clean_session for event in connects):
        return failed("CONNECT requests a clean session: the server keeps nothing for this device")
    return None


@case("MQTT_Publish", "Publishes", sends(Publish), 15, starred=True, settings=("topic_for_publish_validation",))
async def publish(stage: Stage) -> None:
    """The server behaves correctly. The device must publish something."""
    client = await stage.connection()
    await client.packet(Publish, _for_topics(stage, Publish), timeout=120)


@case("MQTT_Publish_Retry_No_Puback", "Resends PUBLISH without PUBACK", retries(Publish), 16, timed=True,
      settings=("topic_for_publish_validation",))  # fmt: skip
async def publish_retry_no_puback(stage: Stage) -> None:
    """A QoS 1 PUBLISH gets no PUBACK. The device must resend it on this connection, with the same identifier."""
    client = await stage.connection(Behaviour(withhold=frozenset({Publish})))
    wanted = _for_topics(stage, Publish)
    first = await client.packet(Publish, lambda packet: packet.qos == 1 and wanted(packet), timeout=120)
    await client.packet(Publish, lambda packet: packet.identifier == first.identifier, timeout=WITHIN)


@case("MQTT_Subscribe_Retry_No_Suback", "Resends SUBSCRIBE without SUBACK", retries(Subscribe), 17, timed=True,
      settings=("topic_list_for_subscription_validation",))  # fmt: skip
async def subscribe_retry_no_suback(stage: Stage) -> None:
    """A SUBSCRIBE gets no SUBACK. The device must resend it on this connection, with the same identifier."""
    client = await stage.connection(Behaviour(withhold=frozenset({Subscribe})))
    first = await client.packet(Subscribe, _for_topics(stage, Subscribe))
    await client.packet(Subscribe, lambda packet: packet.identifier == first.identifier, timeout=WITHIN)


@case("MQTT_Subscribe", "Subscribes", sends(Subscribe), 18, starred=True,
      settings=("topic_list_for_subscription_validation",))  # fmt: skip
async def subscribe(stage: Stage) -> None:
    """The server behaves correctly. The device must subscribe to something."""
    client = await stage.connection()
    missing = set(stage.settings.topic_list_for_subscription_validation)
    while True:
        missing -= set(topics(await client.packet(Subscribe, timeout=120)))
        if not missing:
            return


@case("MQTT_No_Ack_PingResp", "Hangs up without PINGRESP", hangs_up_without_answers, 19, timed=True, limit=4000)
async def no_ack_pingresp(stage: Stage) -> None:
    """CONNECT alone gets an answer: no PUBACK, SUBACK or PINGRESP comes. The device must end the connection."""
    await answer_nothing(stage)


async def answer_nothing(stage: Stage, *, session_present: bool = False) -> None:
    """Answer nothing but CONNECT on the next connection, until the device ends it or long after its keep-alive."""
    withheld = frozenset({Publish, Subscribe, Pingreq})
    client = await stage.attempt(Behaviour(withhold=withheld, session_present=session_present))
    keep_alive = (await client.packet(Connect)).keep_alive
    await client.quietly(client.packet(Pingreq, timeout=PING_BY * keep_alive))
    await client.ended(GIVE_UP_BY * keep_alive)
    if client.closed:  # a device that has ended, rather than hung up, does not come back
        await stage.endpoint.arrival(PROMPT)


@case("MQTT_Persistent_Session_Happy_Case", "Persistent session", keeps_session, 20, timed=True,
      settings=("trigger_topic",))  # fmt: skip
async def persistent_session_happy_case(stage: Stage) -> None:
    """After a reconnect the session exists, with a message. The device must acknowledge it, and must not subscribe again."""
    topic = await lose_connection(stage)
    client = await stage.connection(Behaviour(session_present=True))
    await client.send(Publish(topic, b"{}", 1, MESSAGE))
    await client.packet(Puback, lambda packet: packet.identifier == MESSAGE)
    await client.ended(5)


@case("MQTT_Expired_Persistent_Session", "Expired persistent session", renews_session, 21, timed=True,
      settings=("trigger_topic",))  # fmt: skip
async def expired_persistent_session(stage: Stage) -> None:
    """After a reconnect the session is gone. The device must subscribe again."""
    await lose_connection(stage)
    client = await stage.connection(Behaviour(session_present=False))
    await client.packet(Subscribe)


def _for_topics(stage: Stage, kind: type[Publish] | type[Subscribe]) -> Callable[[Packet], bool]:
    wanted = wanted_topics(stage.settings, kind)
    return lambda packet: not wanted or any(topic in wanted for topic in topics(packet))


async def lose_connection(stage: Stage) -> str:
    """Let the device connect and subscribe, then disconnect it. Returns a topic that it subscribed to."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.ended(2)
    await client.close()
    return topic
