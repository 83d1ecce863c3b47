"""IPv4 in Ethernet frames: as much of it as is needed to answer a datagram and to change a port."""

import struct
from dataclasses import dataclass

TCP, UDP = 6, 17

_ETHERNET = 14
_IPV4 = b"\x08\x00"
_CHECKSUM = {TCP: 16, UDP: 6}  # where it stands in the header


@dataclass(frozen=True)
class Segment:
    """A TCP or UDP segment in an Ethernet frame. Addresses are four bytes; ``at`` is where its header begins."""

    frame: bytes
    protocol: int
    source: bytes
    target: bytes
    at: int
    end: int

    @property
    def source_port(self) -> int:
        return int.from_bytes(self.frame[self.at : self.at + 2], "big")

    @property
    def target_port(self) -> int:
        return int.from_bytes(self.frame[self.at + 2 : self.at + 4], "big")

    @property
    def payload(self) -> bytes:
        """A datagram's payload."""
        return self.frame[self.at + 8 : self.end]

    def answer(self, payload: bytes) -> bytes:
        """The frame that carries ``payload`` back to the sender of this datagram."""
        # A checksum of zero says that there is none (RFC 768).
        datagram = struct.pack("!HHHH", self.target_port, self.source_port, 8 + len(payload), 0) + payload
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0x4000, 64, UDP, 0) + self.target + self.source
        header = header[:10] + _checksum(header).to_bytes(2, "big") + header[12:]
        return self.frame[6:12] + self.frame[:6] + _IPV4 + header + datagram

    def with_ports(self, source: int, target: int) -> bytes:
        """The same frame with other ports, its checksum updated (RFC 1624)."""
        changed = bytearray(self.frame)
        at = self.at + _CHECKSUM[self.protocol]
        before = int.from_bytes(self.frame[at : at + 2], "big")
        changed[self.at : self.at + 4] = struct.pack("!HH", source, target)
        if before or self.protocol == TCP:
            total = (before ^ 0xFFFF) + sum(port ^ 0xFFFF for port in (self.source_port, self.target_port)) + source + target
            changed[at : at + 2] = (_folded(total) ^ 0xFFFF).to_bytes(2, "big")
        return bytes(changed)


def parse(frame: bytes) -> Segment | None:
    """The TCP or UDP segment in ``frame``; None for anything else, a fragment included."""
    if len(frame) < _ETHERNET + 20 or frame[12:14] != _IPV4 or frame[_ETHERNET] >> 4 != 4:
        return None
    header = (frame[_ETHERNET] & 15) * 4
    length, _, fragment, _, protocol = struct.unpack_from("!HHHBB", frame, _ETHERNET + 2)
    at, end = _ETHERNET + header, _ETHERNET + length
    least = {TCP: 20, UDP: 8}.get(protocol)
    # 0x3FFF: the offset, and the flag that more fragments follow.
    if least is None or fragment & 0x3FFF or not at + least <= end <= len(frame):
        return None
    return Segment(frame, protocol, frame[_ETHERNET + 12 : _ETHERNET + 16], frame[_ETHERNET + 16 : at][:4], at, end)


def _checksum(header: bytes) -> int:
    return _folded(sum(struct.unpack(f"!{len(header) // 2}H", header))) ^ 0xFFFF


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
