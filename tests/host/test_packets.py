"""The advisor's MQTT codec: what it writes it reads, split anywhere; what the standard forbids it refuses."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rootlet import packets
from rootlet.packets import Connect, Decoder, MalformedPacket, Packet, Publish, Will, encode

identifiers = st.integers(1, 65535)
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
topics = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=40)
filters = st.one_of(topics, topics.map(lambda topic: topic + "/#"), topics.map(lambda topic: "+/" + topic), st.just("#"))
qos = st.integers(0, 2)


@st.composite
def connects(draw: Callable[..., object]) -> Connect:
    user = draw(st.none() | text)
    client_id = draw(text)
    return Connect(
        client_id,  # type: ignore[arg-type]
        draw(st.integers(0, 65535)),  # type: ignore[arg-type]
        not client_id or draw(st.booleans()),  # type: ignore[arg-type]
        draw(st.none() | st.builds(Will, topics, st.binary(max_size=40), qos, st.booleans())),  # type: ignore[arg-type]
        user,  # type: ignore[arg-type]
        None if user is None else draw(st.none() | st.binary(max_size=40)),  # type: ignore[arg-type]
    )


@st.composite
def publishes(draw: Callable[..., object]) -> Publish:
    level = draw(qos)
    return Publish(
        draw(topics),  # type: ignore[arg-type]
        draw(st.binary(max_size=300)),  # type: ignore[arg-type]
        level,  # type: ignore[arg-type]
        draw(identifiers) if level else 0,  # type: ignore[arg-type]
        draw(st.booleans()),  # type: ignore[arg-type]
        bool(level) and draw(st.booleans()),  # type: ignore[arg-type]
    )


any_packet = st.one_of(
    connects(),
    publishes(),
    st.just(packets.Connack(True)),
    st.builds(packets.Connack, st.just(False), st.integers(0, 5)),
    st.builds(packets.Subscribe, identifiers, st.lists(st.tuples(filters, qos), min_size=1, max_size=8).map(tuple)),
    st.builds(packets.Suback, identifiers, st.lists(st.sampled_from((0, 1, 2, 128)), min_size=1).map(tuple)),
    st.builds(packets.Unsubscribe, identifiers, st.lists(filters, min_size=1, max_size=8).map(tuple)),
    *(
        st.builds(kind, identifiers)
        for kind in (packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp, packets.Unsuback)
    ),
    *(st.just(kind()) for kind in (packets.Pingreq, packets.Pingresp, packets.Disconnect)),
)


@given(st.lists(any_packet, max_size=5), st.randoms(use_true_random=False))
def test_what_is_written_is_read_however_the_stream_breaks(sent: list[Packet], random: object) -> None:
    stream = b"".join(map(encode, sent))
    decoder, read, at = Decoder(), [], 0
    while at < len(stream):
        step = random.randint(1, 7)  # type: ignore[attr-defined]
        read += decoder.feed(stream[at : at + step])
        at += step
    assert read == sent


@given(st.binary(max_size=60))
def test_any_bytes_are_packets_or_malformed_and_what_is_read_is_written_the_same(data: bytes) -> None:
    decoder = Decoder(longest=1000)
    try:
        read = decoder.feed(data)
    except MalformedPacket:
        return
    assert Decoder().feed(b"".join(map(encode, read))) == read


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("00 00", "type 0"),
        ("f0 00", "type 15"),
        ("c1 00", "flags 1"),
        ("80 05 0001 0000 01", "flags 0"),
        ("c0 01 00", "too many"),
        ("36 05 0001 74 0001", "flags 6"),
        ("38 03 0001 74", "flags 8"),
        ("32 05 0001 74 0000", "identifier 0"),
        ("30 03 0001 23", "not a topic name"),
        ("30 02 0000", "not a topic name"),
        ("30 04 0002 ff ff", "not UTF-8"),
        ("30 03 0001 00", "U\\+0000"),
        ("30 02 0005", "too early"),
        ("82 02 0001", "too early"),
        ("82 06 0001 0001 74 03", "QoS byte 3"),
        ("82 07 0001 0002 612b 01", "not a topic filter"),
        ("82 08 0001 0003 232f61 01", "not a topic filter"),
        ("10 0c 0004 4d515454 05 02 003c 0000", "level 5"),
        ("10 0c 0004 4d515454 04 03 003c 0000", "flags 0x03"),
        ("10 0c 0004 4d515454 04 42 003c 0000", "flags 0x42"),
        ("10 0c 0004 4d515454 04 00 003c 0000", "without a client ID"),
        ("20 02 0105", "CONNACK"),
        ("90 03 0001 07", "return codes"),
        ("30 ff ff ff ff 01", "four bytes"),
    ],
)
def test_what_the_standard_forbids_is_refused_with_its_cause(data: str, why: str) -> None:
    with pytest.raises(MalformedPacket, match=why):
        Decoder().feed(bytes.fromhex(data))


def test_a_packet_beyond_the_limit_is_refused_before_it_has_arrived() -> None:
    with pytest.raises(MalformedPacket, match="the limit is 100"):
        Decoder(longest=100).feed(encode(Publish("t", bytes(200)))[:5])
