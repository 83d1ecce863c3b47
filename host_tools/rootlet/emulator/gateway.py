"""The network around an emulated chip: its DNS, its time server, and the way to this machine's loopback.

Frames pass between the chip's network card and the emulator's user-mode network (slirp), which gives the chip an
address and opens its TCP connections from this process's user. What the gateway answers itself goes no further:
queries to any DNS server, and SNTP queries to the gateway's address. So neither root nor a change to this machine's
resolver is needed, and a chip that asks for its endpoint gets the sandbox.
"""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from rootlet.emulator import datagrams, sntp
from rootlet.errors import BadInput

HOST = "10.0.2.2"
"""What slirp calls this machine's 127.0.0.1."""

DNS_PORT, NTP_PORT = 53, 123
_HOST = ipaddress.IPv4Address(HOST).packed
_LARGEST = 65536
_TTL = 1  # seconds: a restarted sandbox may be elsewhere


class Gateway:
    """Passes frames while its context is entered. ``chip`` and ``uplink`` are the emulator's ends: file descriptors.

    ``resolve`` maps host names to IPv4 addresses, ``time_servers`` are the names that the gateway's clock stands for;
    all other names are asked of this machine's resolver. ``ports`` maps a port of 127.0.0.1, as the chip sees it, to
    the real one. Raises BadInput for an address that the chip could not reach.
    """

    def __init__(
        self, resolve: Mapping[str, str], time_servers: Iterable[str] = (), ports: Mapping[int, int] | None = None
    ) -> None:
        known = dict.fromkeys(time_servers, HOST)
        known.update((name, _reachable(name, address)) for name, address in resolve.items())
        self._known = {name.lower().rstrip("."): address for name, address in known.items()}
        self._ports = dict(ports or {})
        self._back = {real: seen for seen, real in self._ports.items()}
        self._chip, chip = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._uplink, uplink = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ends = (chip, uplink)
        self.chip, self.uplink = chip.fileno(), uplink.fileno()
        # A resolver may take seconds; the frames of a connection must not wait for it.
        self._lookups = ThreadPoolExecutor(2, "gateway-dns")
        self._threads = [
            threading.Thread(target=self._from_chip, daemon=True),
            threading.Thread(target=self._from_uplink, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for end in (self._chip, self._uplink):
            with contextlib.suppress(OSError):
                # A thread that waits on a socket is not woken by close.
                end.shutdown(socket.SHUT_RDWR)
        for end in (self._chip, self._uplink, *self._ends):
            end.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            thread.join(5)

    def _from_chip(self) -> None:
        while frame := _receive(self._chip):
            segment = datagrams.parse(frame)
            if segment and segment.protocol == datagrams.UDP and segment.target_port == DNS_PORT:
                with contextlib.suppress(RuntimeError):  # shut down meanwhile
                    self._lookups.submit(self._answer_dns, segment)
            elif segment and segment.target == _HOST:
                self._to_host(segment)
            else:
                _send(self._uplink, frame)

    def _from_uplink(self) -> None:
        while frame := _receive(self._uplink):
            segment = datagrams.parse(frame)
            if segment and segment.source == _HOST and segment.source_port in self._back:
                frame = segment.with_ports(self._back[segment.source_port], segment.target_port)
            _send(self._chip, frame)

    def _to_host(self, segment: datagrams.Segment) -> None:
        if segment.target_port in self._ports:
            _send(self._uplink, segment.with_ports(segment.source_port, self._ports[segment.target_port]))
        elif (segment.protocol, segment.target_port) == (datagrams.UDP, NTP_PORT):
            if answer := sntp.reply(segment.payload, time.time()):
                _send(self._chip, segment.answer(answer))
        else:
            _send(self._uplink, segment.frame)

    def _answer_dns(self, segment: datagrams.Segment) -> None:
        if answer := self.dns_answer(segment.payload):
            _send(self._chip, segment.answer(answer))

    def dns_answer(self, query: bytes) -> bytes | None:
        """The DNS server's answer; None to what is not a query."""
        try:
            asked = dns.message.from_wire(query)
        except (dns.exception.DNSException, ValueError):
            return None
        if asked.flags & dns.flags.QR or len(asked.question) != 1:
            return None
        question, answer = asked.question[0], dns.message.make_response(asked, recursion_available=True)
        address = self._address(question.name.to_text(omit_final_dot=True).lower())
        if address is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, _TTL, question.rdclass, question.rdtype, address))
        return answer.to_wire()

    def _address(self, name: str) -> str | None:
        if name in self._known:
            return self._known[name]
        try:
            found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return None
        address = str(found[0][4][0])
        return HOST if address == "127.0.0.1" else address


def _reachable(name: str, text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise BadInput(
            f"--resolve {name}:{text}: {text} is not an IP address", hint=f"for example --resolve {name}:127.0.0.1"
        ) from None
    if text == "127.0.0.1":
        return HOST
    if address.version == 6 or address.is_loopback:
        raise BadInput(
            f"--resolve {name}:{text}: the emulated chip reaches IPv4 addresses only, and of the loopback 127.0.0.1 only",
            hint=f"have the server listen on 127.0.0.1, and give --resolve {name}:127.0.0.1",
        )
    return text


def _receive(end: socket.socket) -> bytes:
    """The next frame; empty when the gateway is shut down or the emulator is gone."""
    try:
        return end.recv(_LARGEST)
    except OSError:
        return b""


def _send(end: socket.socket, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # the emulator is gone; a network loses frames
        end.send(frame)
