"""Rootlet's own cases: troubles that devices meet in the field, and servers that misbehave on purpose."""

from rootlet.advisor.cases.connect import waits_a_second
from rootlet.advisor.cases.messages import MESSAGE, identifier, renews_session
from rootlet.advisor.cases.tls import acknowledges, completes_handshake, why_no_connect
from rootlet.advisor.grading import CaseVerdict, failed, passed, warned
from rootlet.advisor.stage import Behaviour, Client, Stage, case
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connack, Connect, Pingreq, Puback, Publish, Suback, Subscribe
from rootlet.words import number_of

LARGEST = 128 * 1024
"""The largest payload that AWS IoT Core accepts, in bytes."""
CLOCK_AT_POWER_ON = 946684800
"""1 January 2000: where an ESP32's clock begins."""
SETTLED = 10
"""Seconds after which a device's packets are no longer from before the trouble."""
ELSEWHERE = "127.0.0.2"
PROVEN = "from here on it must work again"


def comes_back(timeline: Timeline) -> CaseVerdict:
    """The verdict on recovery: a new connection with CONNECT, and a PUBACK where the case sent a message."""
    marks = [event for event in timeline.of("note") if event.text == PROVEN]
    if not marks:
        return failed("the case ended before this step" if timeline.received(Connect) else why_no_connect(timeline))
    later = [event for event in timeline.received(Connect) if event.at >= marks[0].at]
    if not later:
        return failed("the device never reconnected")
    messages = [event for event in timeline.sent(Publish) if event.at >= marks[0].at]
    acknowledged = [event for event in timeline.received(Puback) if event.at >= marks[0].at]
    if messages and not acknowledged:
        return failed(f"the device reconnected after {later[0].at - marks[0].at:.1f} s, but acknowledged no message")
    took = "".join(f"it {event.facts['took']}; " for event in timeline.of("note") if "took" in event.facts)
    works = ", and works" if messages else ""
    return passed(f"{took}the device reconnected {later[0].at - marks[0].at:.1f} s after the trouble{works}")


def gives_up(timeline: Timeline) -> CaseVerdict:
    """The verdict on a server that says nothing: the device must end the connection, and begin another with TLS."""
    attempts = timeline.attempts()
    if not attempts:
        return failed("the device never connected")
    ended = [event for event in timeline.of("closed") if event.connection == attempts[0].connection]
    if not ended or ended[0].facts["by"] != "device":
        return failed("the device waited without end")
    waited = ended[0].at - attempts[0].began
    if not any(event.connection != attempts[0].connection for event in timeline.of("hello")):
        return failed(f"gave up after {waited:.1f} s, and did not try again with TLS")
    return passed(f"gave up after {waited:.1f} s; tried again {attempts[1].began - ended[0].at:.1f} s later")


def takes_or_survives(timeline: Timeline) -> CaseVerdict:
    """The verdict on a large message: acknowledged passes, disconnected and back warns, the rest fails."""
    sent = timeline.sent(Publish)
    if not sent:
        return failed("the device never subscribed" if timeline.received(Connect) else why_no_connect(timeline))
    size = len(getattr(sent[0].packet, "payload", b""))
    acknowledged = [event for event in timeline.received(Puback) if identifier(event) == MESSAGE]
    if acknowledged:
        return passed(f"PUBLISH of {size} bytes: PUBACK after {acknowledged[0].at - sent[0].at:.1f} s")
    ended = [event for event in timeline.of("closed") if event.at > sent[0].at and event.facts["by"] == "device"]
    back = [event for event in timeline.received(Connect) if event.at > sent[0].at]
    if ended and back:
        return warned(
            f"PUBLISH of {size} bytes: ended the connection, and reconnected after {back[0].at - ended[0].at:.1f} s; "
            "a persistent session would deliver the message again, and again"
        )
    return failed(f"PUBLISH of {size} bytes: " + ("ended the connection, and did not reconnect" if ended else "no answer"))


def keeps_working_meanwhile(timeline: Timeline) -> CaseVerdict:
    began = next((event for event in timeline.sent(Publish)), None)
    if began is None:
        return failed("the device never subscribed" if timeline.received(Connect) else why_no_connect(timeline))
    meanwhile = [
        event
        for event in (*timeline.received(Publish), *timeline.received(Pingreq))
        if event.at > began.at + SETTLED and event.connection == began.connection
    ]
    if meanwhile:
        return passed(f"{number_of(len(meanwhile), 'packet')} of its own while the message arrived slowly, the first "
                      f"{meanwhile[0].at - began.at:.1f} s after it began")  # fmt: skip
    ended = [event for event in timeline.of("closed") if event.facts["by"] == "device" and event.at > began.at]
    if ended and len(timeline.received(Connect)) > 1:
        return passed(f"ended the connection after {ended[0].at - began.at:.1f} s, and reconnected")
    return failed("the device sent nothing while the message arrived slowly: the read blocks everything else")


def asks_the_time(timeline: Timeline) -> CaseVerdict:
    asked = next((event.facts["queries"] for event in timeline.of("note") if "queries" in event.facts), 0)
    if not timeline.received(Connect):
        return failed(f"the device never connected; it queried the time server {number_of(asked, 'time')}")
    if not asked:
        return failed("the device connected without querying the time: a chip would check certificates with the year 2000")
    return passed(f"the time server set the clock ({asked} queries), then the device connected")


def all_handshakes(timeline: Timeline) -> CaseVerdict:
    done = [(event.text, bool(event.facts.get("ok"))) for event in timeline.of("note") if "ok" in event.facts]
    missing = [text for text, ok in done if not ok]
    if missing or len(done) < 3:
        return failed(f"refused: {', '.join(missing) or 'the device did not reconnect'}; {why_no_connect(timeline)}")
    return passed("trusted " + ", ".join(text for text, _ in done))


@case("Ours_Huge_Server_Cert", "Server certificates of 15 KiB", completes_handshake)
async def huge_server_cert(stage: Stage) -> None:
    """The server's certificates fill a TLS record. The device must complete the handshake."""
    await stage.attempt(Behaviour(stage.chains.huge))


@case("Ours_Root_Rollover", "RSA root, ECDSA root, and back", all_handshakes, timed=True)
async def root_rollover(stage: Stage) -> None:
    """The server's chain ends at the RSA root, then at the ECDSA root, then at the RSA root. All must be trusted."""
    for chain in (stage.chains.good, stage.chains.ecdsa, stage.chains.good):
        client = await stage.attempt(Behaviour(chain))
        stage.timeline.add("note", client.number, chain.name, ok=client.ready)
        await client.ended(2)
        await client.close()


@case(
    "Ours_Clock_Unset", "Clock unset at power-on", asks_the_time, virtual_only=True, environment={"clock": CLOCK_AT_POWER_ON}
)
async def clock_unset(stage: Stage) -> None:
    """The device's clock begins in 2000, and a time server answers. The device must set it, and connect."""
    try:
        await stage.connection()
    finally:
        stage.timeline.add("note", text="the time server", queries=stage.time_server.queries)


@case("Ours_Takeover", "Another client with the same client ID", waits_a_second, timed=True)
async def takeover(stage: Stage) -> None:
    """Another client takes the client ID every 35 s, so that the server disconnects. The device must not retry at once."""
    for _ in range(4):
        client = await stage.connection()
        await client.ended(35)
        await client.close("taken over")
    await stage.connection()


@case("Ours_DNS_Change", "The endpoint moves to another address", comes_back, virtual_only=True, timed=True,
      environment={"resolve_later": ELSEWHERE})  # fmt: skip
async def dns_change(stage: Stage) -> None:
    """The endpoint's name gets another address, and the old one is dead. The device must query DNS again."""
    client = await stage.connection()
    await client.ended(2)
    await stage.endpoint.move(ELSEWHERE)
    await client.close()
    stage.note(PROVEN)
    await works(stage)


@case(
    "Ours_Session_Expires_Offline", "The session expires during an outage", renews_session, timed=True, long=True, limit=4000
)
async def session_expires_offline(stage: Stage) -> None:
    """The server is down for ten minutes and loses the session. The device must reconnect and subscribe again."""
    client = await stage.connection()
    await stage.subscribed(client)
    stage.endpoint.stop_listening()
    await client.reset()
    await stage.pause(600)
    await stage.endpoint.listen_again()
    client = await stage.connection()
    await client.packet(Subscribe)


@case("Ours_Payload_128_KiB", "The largest payload", takes_or_survives, timed=True)
async def payload_128_kib(stage: Stage) -> None:
    """A message of 128 KiB, AWS IoT's largest. The device should acknowledge it, and must survive it."""
    await large_message(stage, LARGEST)


@case("Ours_Payload_128_KiB_And_A_Byte", "One byte more than the largest", takes_or_survives, timed=True)
async def payload_128_kib_and_a_byte(stage: Stage) -> None:
    """A message of 128 KiB and a byte, which AWS never sends. The device must survive it."""
    await large_message(stage, LARGEST + 1)


@case("Ours_Slow_Loris", "A message that arrives slowly", keeps_working_meanwhile, timed=True)
async def slow_loris(stage: Stage) -> None:
    """A message arrives at one byte in three seconds. The device must continue everything else."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.packet(Publish, timeout=120)
    await client.send_slowly(Publish(topic, b"x" * 100, 1, MESSAGE), pause=3, count=50)


@case("Ours_Split_Packets", "Packets split at every byte", acknowledges)
async def split_packets(stage: Stage) -> None:
    """Every packet arrives byte by byte, each in its own TLS record. The device must understand all of them."""
    client = await stage.attempt(Behaviour(withhold=frozenset({Connect, Subscribe})))
    await client.packet(Connect)
    await client.send_slowly(Connack(), pause=0.02)
    packet = await client.packet(Subscribe)
    await client.send_slowly(Suback(packet.identifier, (1,) * len(packet.filters)), pause=0.02)
    await client.send_slowly(Publish(packet.filters[0][0], b"{}", 1, MESSAGE), pause=0.02)
    await client.packet(Puback)


@case("Ours_Coalesced_Packets", "Many packets in one record", acknowledges)
async def coalesced_packets(stage: Stage) -> None:
    """Twenty messages arrive in one TLS record. The device must acknowledge each."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    messages = [Publish(topic, b"{}", 1, number) for number in range(1, 21)]
    await client.send_together(messages)
    for _ in messages:
        await client.packet(Puback)


@case("Ours_Renegotiation", "The server asks to renegotiate TLS", comes_back, timed=True)
async def renegotiation(stage: Stage) -> None:
    """The server sends a HelloRequest (TLS 1.2). The device may refuse or disconnect, but must work afterwards."""
    client = await stage.connection(Behaviour(tls12_only=True))
    await stage.subscribed(client)
    await client.renegotiate()
    await client.ended(10)
    took = "renegotiated" if client.renegotiations else "disconnected" if client.closed else "refused to renegotiate"
    stage.timeline.add("note", client.number, "what the device did about it", took=took)
    await client.close()
    stage.note(PROVEN)
    await works(stage)


@case("Ours_Silent_Server", "TCP without TLS", gives_up, timed=True)
async def silent_server(stage: Stage) -> None:
    """The server accepts TCP and sends nothing. The device must give up within two minutes, and try again."""
    client = await stage.endpoint.take(Behaviour(stall=True))
    await client.ended(120)
    await stage.attempt()


@case("Ours_No_Connack", "CONNACK never comes", gives_up, timed=True)
async def no_connack(stage: Stage) -> None:
    """CONNECT gets no answer, and the connection stays open. The device must give up within two minutes, and try again."""
    client = await stage.connection(Behaviour(withhold=frozenset({Connect})))
    await client.ended(120)
    await stage.attempt()


@case("Ours_Malformed_Packet", "A malformed packet", comes_back, timed=True)
async def malformed_packet(stage: Stage) -> None:
    """The server sends a PUBLISH with QoS 3. The device must end the connection, reconnect and work."""
    client = await stage.connection()
    await stage.subscribed(client)
    await client.send_raw(b"\x36\x05\x00\x01tab", "PUBLISH with QoS 3")
    stage.note(PROVEN)
    await client.ended(30)
    await client.close()
    await works(stage)


@case("Ours_Power_Cut", "Power off and on", comes_back, timed=True)
async def power_cut(stage: Stage) -> None:
    """The device loses its power while it is connected. It must reconnect and work."""
    client = await stage.connection()
    await client.ended(2)
    stage.note(PROVEN)
    await stage.power_cycle()
    await works(stage)


async def large_message(stage: Stage, size: int) -> None:
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.send(Publish(topic, b"x" * size, 1, MESSAGE))
    if not await client.acknowledged(MESSAGE) and client.closed:
        await stage.connection()


async def works(stage: Stage) -> Client:
    """Send a message on the device's next connection, and wait for its PUBACK."""
    client = await stage.connection()
    topic = await stage.subscribed(client)
    await client.send(Publish(topic, b"{}", 1, MESSAGE + 1))
    await client.packet(Puback)
    return client
