"""A ClientHello, read from the first bytes of a connection (RFC 5246 §7.4.1.2, RFC 8446 §4.1.2); no I/O."""

from dataclasses import dataclass

SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0xC023: "ECDHE-ECDSA-AES128-SHA256",
    0xC027: "ECDHE-RSA-AES128-SHA256",
    0xC009: "ECDHE-ECDSA-AES128-SHA",
    0xC013: "ECDHE-RSA-AES128-SHA",
    0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xC024: "ECDHE-ECDSA-AES256-SHA384",
    0xC028: "ECDHE-RSA-AES256-SHA384",
    0xC00A: "ECDHE-ECDSA-AES256-SHA",
    0xC014: "ECDHE-RSA-AES256-SHA",
    0x009C: "AES128-GCM-SHA256",
    0x003C: "AES128-SHA256",
    0x002F: "AES128-SHA",
    0x009D: "AES256-GCM-SHA384",
    0x003D: "AES256-SHA256",
    0x0035: "AES256-SHA",
}
"""The cipher suites of AWS IoT Core's default security policy, by IANA number (AWS IoT, "Transport security")."""

RECOMMENDED = (0xC02B, 0xC02F, 0x1301, 0x1302, 0x1303)
"""The suites that AWS's page marked as recommended until 2022, and those of TLS 1.3, which came after that."""

SIGNALLING = (0x00FF, 0x5600)
"""Signalling values in the list of suites (RFC 5746, RFC 7507)."""


@dataclass(frozen=True)
class Hello:
    suites: tuple[int, ...]
    server_name: str | None = None
    longest_fragment: int | None = None
    """The record size limit that the device requests, in bytes (RFC 6066 §4); None without the extension."""

    @property
    def names(self) -> list[str]:
        """The offered suites that AWS IoT Core supports, by name."""
        return [SUITES[number] for number in self.suites if number in SUITES]

    @property
    def recommended(self) -> bool:
        """Whether one of the suites that AWS recommends is offered."""
        return any(number in RECOMMENDED for number in self.suites)

    @property
    def others(self) -> list[str]:
        """The other offered suites, by number, without GREASE (RFC 8701) and signalling values."""
        return [
            f"0x{number:04X}"
            for number in self.suites
            if number not in SUITES and number not in SIGNALLING and not _grease(number)
        ]


class HelloReader:
    """Collects the first records until the ClientHello in them is complete."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self.done = False

    def feed(self, data: bytes) -> Hello | None:
        """The ClientHello once it is there; None before, and where the bytes are not TLS."""
        if self.done:
            return None
        self._raw += data
        if self._raw[0] != 22:
            self.done = True
            return None
        message = self._handshake_bytes()
        if len(message) < 4 or len(message) < 4 + (size := int.from_bytes(message[1:4], "big")):
            return None
        self.done = True
        try:
            return _parse(message[4 : 4 + size])
        except IndexError:
            return None

    def _handshake_bytes(self) -> bytes:
        message, at = b"", 0
        while at + 5 <= len(self._raw):
            size = int.from_bytes(self._raw[at + 3 : at + 5], "big")
            message += self._raw[at + 5 : at + 5 + size]
            at += 5 + size
        return message


def _parse(body: bytes) -> Hello:
    at = 34  # version and random
    at += 1 + body[at]  # session id
    size = int.from_bytes(body[at : at + 2], "big")
    suites = tuple(int.from_bytes(body[i : i + 2], "big") for i in range(at + 2, at + 2 + size, 2))
    at += 2 + size
    at += 1 + body[at] + 2  # compression methods, length of the extensions
    name, fragment = None, None
    while at + 4 <= len(body):
        kind, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        data = body[at + 4 : at + 4 + size]
        if kind == 0 and size > 5:
            name = data[5:].decode("ascii", "replace")
        elif kind == 1 and size == 1:
            fragment = 1 << (8 + data[0])
        at += 4 + size
    return Hello(suites, name, fragment)


def _grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF
