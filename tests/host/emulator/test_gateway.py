"""The network around an emulated chip, spoken to as the chip speaks to it: in Ethernet frames."""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest
from rootlet.emulator import datagrams
from rootlet.emulator.gateway import HOST, Gateway
from rootlet.errors import BadInput

CHIP_MAC, ROUTER_MAC = bytes.fromhex("240ac4000001"), bytes.fromhex("525500000202")
CHIP, DNS = "10.0.2.15", "10.0.2.3"
ENDPOINT = "a1b2-ats.iot.eu-west-1.localhost"


class Ends:
    """Both ends of the gateway as an emulator holds them: the chip's card and the user-mode network."""

    def __init__(self, gateway: Gateway) -> None:
        self.chip = socket.socket(fileno=os.dup(gateway.chip))
        self.uplink = socket.socket(fileno=os.dup(gateway.uplink))
        for end in (self.chip, self.uplink):
            end.settimeout(10)

    def ask(self, query: dns.message.Message) -> dns.message.Message:
        self.chip.send(datagram(query.to_wire(), DNS, 53))
        answer = datagrams.parse(self.chip.recv(2000))
        assert answer is not None and answer.frame[:6] == CHIP_MAC and answer.frame[6:12] == ROUTER_MAC
        assert (answer.source, answer.target) == (socket.inet_aton(DNS), socket.inet_aton(CHIP))
        assert (answer.source_port, answer.target_port) == (53, 50000)
        assert checksum(answer.frame[14:34]) == 0
        return dns.message.from_wire(answer.payload)


@contextlib.contextmanager
def gateway(**settings: object) -> Iterator[Ends]:
    with Gateway(**{"resolve": {ENDPOINT: "127.0.0.1"}, **settings}) as opened:  # type: ignore[arg-type]
        ends = Ends(opened)
        yield ends
        ends.chip.close()
        ends.uplink.close()


def frame(protocol: int, segment: bytes, source: str, target: str) -> bytes:
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 7, 0, 64, protocol, 0)
    header += socket.inet_aton(source) + socket.inet_aton(target)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return ROUTER_MAC + CHIP_MAC + b"\x08\x00" + header + segment


def datagram(payload: bytes, target: str, port: int) -> bytes:
    return frame(datagrams.UDP, struct.pack("!HHHH", 50000, port, 8 + len(payload), 0) + payload, CHIP, target)


def tcp(source: str, target: str, source_port: int, target_port: int) -> bytes:
    """A SYN with a right checksum."""
    segment = struct.pack("!HHIIBBHHH", source_port, target_port, 1, 0, 5 << 4, 2, 4096, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", datagrams.TCP, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    return frame(datagrams.TCP, segment, source, target)


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def tcp_is_right(received: bytes) -> bool:
    found = datagrams.parse(received)
    assert found is not None
    segment = received[found.at : found.end]
    return checksum(found.source + found.target + struct.pack("!HH", datagrams.TCP, len(segment)) + segment) == 0


@pytest.mark.parametrize("name", [ENDPOINT, ENDPOINT.upper()])
def test_the_endpoint_resolves_to_what_was_given_and_nothing_goes_further(name: str) -> None:
    with gateway() as ends:
        answer = ends.ask(dns.message.make_query(name, "A"))
        ends.uplink.settimeout(0)
        with pytest.raises(BlockingIOError):
            ends.uplink.recv(2000)
    assert answer.answer[0][0].to_text() == HOST


def test_an_address_of_another_machine_is_given_as_it_is() -> None:
    with gateway(resolve={"broker.example": "192.0.2.7"}) as ends:
        assert ends.ask(dns.message.make_query("broker.example", "A")).answer[0][0].to_text() == "192.0.2.7"


def test_other_names_are_asked_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"localhost": "127.0.0.1", "elsewhere.example": "192.0.2.9"}

    def resolve(name: str, *_: object) -> list[tuple[object, ...]]:
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[name], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with gateway() as ends:
        found = [ends.ask(dns.message.make_query(name, "A")).answer[0][0].to_text() for name in known]
        missing = ends.ask(dns.message.make_query("nowhere.example", "A"))
    assert found == [HOST, "192.0.2.9"]
    assert missing.rcode() == dns.rcode.NXDOMAIN


def test_there_are_no_ipv6_addresses() -> None:
    with gateway() as ends:
        answer = ends.ask(dns.message.make_query(ENDPOINT, "AAAA"))
    assert answer.rcode() == dns.rcode.NOERROR and not answer.answer


def test_what_is_not_a_query_gets_no_answer_and_does_no_harm() -> None:
    with gateway() as ends:
        for payload in (
            b"",
            b"\0" * 5,
            os.urandom(40),
            dns.message.make_response(dns.message.make_query("x.", "A")).to_wire(),
        ):
            ends.chip.send(datagram(payload, DNS, 53))
        for broken in (b"x", ROUTER_MAC + CHIP_MAC + b"\x08\x00\x45" + bytes(40), datagram(b"x", DNS, 53)[:-3]):
            ends.chip.send(broken)
        assert ends.ask(dns.message.make_query(ENDPOINT, "A")).answer


def test_the_time_servers_are_this_machines_clock() -> None:
    with gateway(time_servers=("time.aws.com",)) as ends:
        assert ends.ask(dns.message.make_query("time.aws.com", "A")).answer[0][0].to_text() == HOST
        nonce = os.urandom(8)
        ends.chip.send(datagram(b"\x23" + bytes(39) + nonce, HOST, 123))
        answer = datagrams.parse(ends.chip.recv(2000))
    assert answer is not None
    assert answer.payload[0] & 7 == 4 and answer.payload[1] == 2 and answer.payload[24:32] == nonce
    assert abs(struct.unpack("!I", answer.payload[40:44])[0] - 2208988800 - time.time()) < 5


def test_everything_else_passes_unchanged_in_both_directions() -> None:
    arp = b"\xff" * 6 + CHIP_MAC + b"\x08\x06" + bytes(28)
    passing = [arp, tcp(CHIP, HOST, 50000, 8883), tcp(CHIP, "192.0.2.7", 50000, 443), datagram(b"x", "192.0.2.7", 123)]
    with gateway() as ends:
        for one in passing:
            ends.chip.send(one)
        assert [ends.uplink.recv(2000) for _ in passing] == passing
        for one in passing:
            ends.uplink.send(one)
        assert [ends.chip.recv(2000) for _ in passing] == passing


def test_a_port_of_this_machine_can_be_another_than_the_chip_sees() -> None:
    with gateway(ports={8883: 41234, 123: 45678}) as ends:
        ends.chip.send(tcp(CHIP, HOST, 50000, 8883))
        out = ends.uplink.recv(2000)
        ends.uplink.send(tcp(HOST, CHIP, 41234, 50000))
        back = ends.chip.recv(2000)
        ends.chip.send(datagram(bytes(48), HOST, 123))
        query = datagrams.parse(ends.uplink.recv(2000))
    there, here = datagrams.parse(out), datagrams.parse(back)
    assert there is not None and (there.source_port, there.target_port) == (50000, 41234) and tcp_is_right(out)
    assert here is not None and (here.source_port, here.target_port) == (8883, 50000) and tcp_is_right(back)
    assert query is not None and query.target_port == 45678


@pytest.mark.parametrize("address", ["::1", "2001:db8::1", "127.0.0.2"])
def test_an_address_that_the_chip_cannot_reach_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match="IPv4 addresses only") as refusal:
        Gateway({ENDPOINT: address})
    assert f"--resolve {ENDPOINT}:127.0.0.1" in refusal.value.hint


def test_what_is_not_an_address_is_refused() -> None:
    with pytest.raises(BadInput, match="other-host is not an IP address"):
        Gateway({ENDPOINT: "other-host"})
