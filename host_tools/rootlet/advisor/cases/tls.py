"""Device Advisor's TLS cases. Its servers have RSA certificates, and so do these."""

from dataclasses import replace

from rootlet.advisor import hello
from rootlet.advisor.grading import CaseVerdict, Grade, failed, passed, warned
from rootlet.advisor.stage import Behaviour, Stage, case
from rootlet.advisor.timeline import Timeline
from rootlet.packets import Connect, Puback, Publish, Subscribe, encode

SHOWN = 4
"""The most messages that the evidence lists one by one."""
CLOSE = "close_notify"
RECORD = 16384
"""The most bytes in a TLS record (RFC 5246 §6.2.1)."""


def completes_handshake(timeline: Timeline) -> CaseVerdict:
    done = timeline.of("tls")
    if not done:
        return failed(why_no_connect(timeline))
    facts = done[0].facts
    evidence = f"{facts['version']}, {facts['suite']}, certificate of {facts['certificate']}"
    hellos = timeline.of("hello")
    alerts = [event.text for event in timeline.of("alert-in") if event.text != CLOSE and event.at <= done[0].at]
    if alerts:
        return warned(evidence + f"; the device sent the alert {alerts[0]}")
    if hellos and not hellos[0].facts["server_name"]:
        return warned(evidence + "; the device sends no server name (SNI), which some features of AWS IoT need")
    return passed(evidence)


def why_no_connect(timeline: Timeline) -> str:
    alerts = [f"alert {event.text}" for event in timeline.of("alert-in")]
    reasons = [event.text for event in timeline.of("tls-failed")]
    notes = [event.text for event in timeline.of("note")]
    missing = "CONNECT" if timeline.of("tls") else "handshake" if timeline.of("tcp") else "connection"
    return f"no {missing}: " + ("; ".join([*alerts, *reasons] or notes) or "the connection ended")


def offers_suites(timeline: Timeline) -> CaseVerdict:
    if not timeline.of("hello"):
        return failed("no ClientHello came")
    facts = timeline.of("hello")[0].facts
    names, others = facts["suites"], facts["other_suites"]
    if not names:
        return failed(f"the device offers none of AWS IoT's cipher suites; only {', '.join(others) or 'none at all'}")
    evidence = f"{len(names)} of AWS IoT's {len(hello.SUITES)}: {', '.join(names)}"
    risks = []
    if not facts["recommended"]:
        risks.append("none of those that AWS recommends")
    if others:
        risks.append(f"AWS IoT does not support {', '.join(others)}")
    return warned("; ".join([evidence, *risks])) if risks else passed(evidence)


def refuses(alert_wanted: bool = False) -> Grade:
    """The verdict on a wrong certificate: the device must see it, and end the connection before it sends any MQTT."""

    def grade(timeline: Timeline) -> CaseVerdict:
        attempts = timeline.attempts()
        if not attempts:
            return failed("the device never connected")
        if not timeline.of("hello"):
            return failed("no ClientHello came: a device that speaks no TLS has refused nothing")
        if connects := timeline.received(Connect):
            return failed(f"the device trusted the server and sent CONNECT at {connects[0].at:.1f} s")
        if timeline.of("tls") and not timeline.of("alert-in"):
            return failed("the device completed the handshake with the server")
        if not timeline.of("alert-in") and (own := [e.text for e in timeline.of("alert-out") if e.facts["fatal"]]):
            why = "; ".join(event.text for event in timeline.of("tls-failed"))
            return failed(f"the server had to end the handshake (alert {own[0]}: {why}): the certificate was not refused")
        ended = attempts[0].ended
        if ended is None:
            return failed("the device neither completed nor ended the handshake")
        alerts = [event.text for event in timeline.of("alert-in")]
        evidence = f"closed after {ended - attempts[0].began:.1f} s, "
        if alerts:
            return passed(evidence + f"alert {alerts[0]}")
        return (warned if alert_wanted else passed)(evidence + "without a TLS alert")

    return grade


def acknowledges(timeline: Timeline) -> CaseVerdict:
    """The verdict on messages: every QoS 1 message from the server must get its PUBACK."""
    sent = timeline.sent(Publish)
    if not timeline.received(Subscribe):
        return failed("the device never subscribed" if timeline.received(Connect) else why_no_connect(timeline))
    if not sent and (trigger := timeline.settings.trigger_topic) is not None:
        return failed(f"the device did not subscribe to TRIGGER_TOPIC {trigger}")
    answers = {event.packet.identifier: event.at for event in timeline.received(Puback) if isinstance(event.packet, Puback)}
    found, missing, longest = [], [], 0.0
    for event in sent:
        packet = event.packet
        assert isinstance(packet, Publish)
        what = f"PUBLISH {packet.identifier} of {len(packet.payload)} bytes"
        if packet.identifier in answers:
            waited = answers[packet.identifier] - event.at
            longest = max(longest, waited)
            found.append(f"{what}: PUBACK after {waited:.1f} s")
        else:
            missing.append(f"{what}: no PUBACK")
    if missing or not sent:
        return failed(_some(missing) or "the connection ended before a message could be sent")
    return passed("; ".join(found) if len(found) <= SHOWN else f"{len(found)} PUBLISH, each PUBACK within {longest:.1f} s")


def _some(evidence: list[str]) -> str:
    more = len(evidence) - SHOWN
    return "; ".join(evidence[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


@case("TLS_Connect", "TLS Connect", completes_handshake, 1, starred=True)
async def tls_connect(stage: Stage) -> None:
    """The server behaves correctly. The device must complete the handshake."""
    await stage.attempt()


@case("TLS_Receive_Maximum_Size_Fragments", "Receive maximum size fragments", acknowledges, 2, starred=True,
      settings=("trigger_topic",))  # fmt: skip
async def receive_maximum_size_fragments(stage: Stage) -> None:
    """A message that fills one TLS record of 16 KiB. The device must acknowledge it."""
    client = await stage.connection()
    message = Publish(await stage.subscribed(client), qos=1, identifier=16384)
    room = RECORD - len(encode(message)) - 2  # the length of a longer packet takes two bytes more
    await client.send(replace(message, payload=b"x" * room))
    await client.packet(Puback)


@case("TLS_Support_AWS_IoT_Cipher_Suites", "Support of AWS IoT's cipher suites", offers_suites, 3, starred=True)
async def support_aws_iot_cipher_suites(stage: Stage) -> None:
    """The server reads the ClientHello. It must offer a cipher suite that AWS recommends, and none that AWS lacks."""
    await stage.attempt()


@case("TLS_Large_Size_Server_Cert", "Large server certificate", completes_handshake, 4, starred=True)
async def large_size_server_cert(stage: Stage) -> None:
    """The server's certificates are 20% larger than the usual 3 KiB. The device must complete the handshake."""
    await stage.attempt(Behaviour(stage.chains.large))


@case("TLS_Unsecure_Server_Cert", "Server certificate of an unknown CA", refuses(), 5, starred=True)
async def unsecure_server_cert(stage: Stage) -> None:
    """The chain ends at a root of the right name and another key. The device must close the connection."""
    client = await stage.attempt(Behaviour(stage.chains.unknown_root))
    await client.refused(30)


@case("TLS_Incorrect_Subject_Name_Server_Cert", "Server certificate for another name", refuses(), 6, starred=True)
async def incorrect_subject_name_server_cert(stage: Stage) -> None:
    """The certificate is for another host name. The device must close the connection."""
    client = await stage.attempt(Behaviour(stage.chains.wrong_name))
    await client.refused(30)


@case("TLS_Expired_Server_Cert", "Expired server certificate", refuses(alert_wanted=True), 7, starred=True)
async def expired_server_cert(stage: Stage) -> None:
    """The server's certificate has expired. The device must close the connection, and should send a TLS alert."""
    client = await stage.attempt(Behaviour(stage.chains.expired))
    await client.refused(30)
