"""MQTT packets on the device: whatever way the stream breaks, and whatever a hostile server sends."""

import pytest

from .conftest import RunLeaf

PARSED = """
from leaf.packets import Parser, Malformed

def parsed(parser, stream, size):
    # Each whole packet, with where in the stream it ended; size bytes of the stream come at once.
    at = 0
    while at < len(stream):
        place = parser.place()
        count = min(size, len(place), len(stream) - at)
        place[:count] = stream[at:at + count]
        at += count
        packet = parser.filled(count)
        if packet:
            yield at, packet
"""

FEED = (
    PARSED
    + """
seen = []
try:
    for size in given["sizes"]:
        packets = parsed(Parser(16384), bytes.fromhex(given["stream"]), size)
        seen.append([[at, kind, flags, body.hex()] for at, (kind, flags, body) in packets])
    answer(seen)
except Malformed as error:
    answer(str(error))
"""
)

PUBLISH = b"\x32\x09\x00\x03a/b\x00\x07hi"
LONG = b"\x30\xc8\x01\x00\x01t" + b"x" * 197
STREAM = b"\x20\x02\x01\x00" + PUBLISH + b"\xd0\x00" + LONG + b"\x40\x02\x00\x09"


def test_packets_come_out_the_same_however_the_stream_is_cut(leaf: RunLeaf) -> None:
    sizes = [1, 2, 3, 5, 7, 64, len(STREAM)]
    results = leaf(FEED, {"stream": STREAM.hex(), "sizes": sizes})
    assert [kind for _, kind, _, _ in results[0]] == [0x20, 0x30, 0xD0, 0x30, 0x40]
    assert bytes.fromhex(results[0][3][3]) == LONG[3:]
    assert all(result == results[0] for result in results)


def test_the_parser_never_asks_for_more_than_the_packet_has(leaf: RunLeaf) -> None:
    """What lies behind a packet must stay in the stream: it may be the stream's end."""
    (seen,) = leaf(FEED, {"stream": STREAM.hex(), "sizes": [len(STREAM)]})
    assert [at for at, _, _, _ in seen] == [4, 15, 17, 220, 224]


def test_a_large_body_is_read_in_its_place_without_further_memory(leaf: RunLeaf) -> None:
    """A chip's heap that has just room for the message has none for pieces of a kilobyte beside it."""
    script = """
import gc
from leaf.packets import Parser
parser = Parser(16384)
for byte in b"\\x30\\x80\\x40":
    parser.place()[0] = byte
    parser.filled(1)
gc.collect()
before = gc.mem_alloc()
most = 0
for _ in range(8):
    place = parser.place()
    parser.filled(min(1000, len(place)))
    most = max(most, gc.mem_alloc() - before)
answer(most)
"""
    assert leaf(script) < 2000


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"\x30\xff\xff\xff\xff\x01", "more than 4 bytes"),
        (b"\x90\xff\xff\x7f", "the limit is"),
        (b"\x00\x00", "type 0"),
        (b"\xf0\x00", "type 15"),
        (b"\x21\x02\x00\x00", "flags 1"),
        (b"\x42\x02\x00\x01", "flags 2"),
        (b"\x10\x00", "type 1"),
    ],
)
def test_a_hostile_stream_is_malformed_and_not_an_exception(leaf: RunLeaf, stream: bytes, why: str) -> None:
    assert why in leaf(FEED, {"stream": stream.hex(), "sizes": [1]})


@pytest.mark.parametrize(
    ("flags", "body", "why"),
    [
        (6, b"\x00\x01tx", "QoS 3"),
        (0, b"\x00", "without a topic"),
        (0, b"\x00\x05ab", "broken topic"),
        (0, b"\x00\x00", "broken topic"),
        (2, b"\x00\x01t\x00", "broken topic"),
        (2, b"\x00\x01t\x00\x00x", "identifier 0"),
    ],
)
def test_a_malformed_publish_is_named(leaf: RunLeaf, flags: int, body: bytes, why: str) -> None:
    script = """
from leaf.packets import parse_publish, Malformed
try:
    answer(str(parse_publish(given[0], bytes.fromhex(given[1]))))
except Malformed as error:
    answer(str(error))
"""
    assert why in leaf(script, [flags, body.hex()])


def test_identifiers_wrap_to_one_and_skip_those_in_flight(leaf: RunLeaf) -> None:
    script = """
from leaf.mqtt import Session
session = Session("c", "h", 1, 60)
session.pid = 65533
session.in_flight = {65535: None, 1: None, 2: None}
answer([session.next_identifier() for _ in range(3)])
"""
    assert leaf(script) == [65534, 3, 4]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_of_a_message_that_is_too_large_the_beginning_is_kept_and_what_follows_is_read(leaf: RunLeaf, step: int) -> None:
    large = b"\x32" + bytes([0x80 | 3007 % 128, 3007 // 128]) + b"\x00\x03top\x00\x09" + b"x" * 3000
    script = (
        PARSED
        + """
from leaf.packets import parse_publish
parser = Parser(1000)
seen = []
for _, (kind, flags, body) in parsed(parser, bytes.fromhex(given[0]), given[1]):
    topic, payload, qos, duplicate, identifier = parse_publish(flags, body)
    seen.append([parser.skipped, topic.decode(), identifier, len(payload)])
answer(seen)
"""
    )
    small = b"\x32\x0a\x00\x03top\x00\x0aabc"
    assert leaf(script, [(large + small).hex(), step]) == [[3007, "top", 9, 253], [0, "top", 10, 3]]


@pytest.mark.parametrize(("free", "skipped"), [(20000, 0), (6000, 3000)])
def test_a_message_that_would_leave_nothing_for_everything_else_is_read_away(leaf: RunLeaf, free: int, skipped: int) -> None:
    script = """
import gc
from leaf.packets import Parser
parser, hog = Parser(16384), None
gc.collect()
while gc.mem_free() > given:
    hog = [hog, bytearray(500)]
for byte in b"\\x32\\xb8\\x17":
    parser.place()[0] = byte
    parser.filled(1)
answer(parser.skipped)
"""
    assert leaf(script, free) == skipped
