"""The answer to an SNTP query (RFC 4330)."""

import struct

_NTP_1900 = 2208988800  # Unix epoch in NTP seconds


def reply(query: bytes, seconds: float) -> bytes | None:
    """What a stratum 2 server answers when its clock shows these Unix seconds; None for what is not a query."""
    if len(query) < 48:
        return None
    now = struct.pack("!II", int(seconds + _NTP_1900) & 0xFFFFFFFF, 0)
    # Version and mode 4 (server), stratum 2; reference, originate (the query's), receive, transmit.
    return b"\x24\x02\x06\xec" + bytes(12) + now + query[40:48] + now + now
