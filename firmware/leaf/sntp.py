# One SNTP query (RFC 4330), bounded in time, its reply validated.
import asyncio
import os
import select
import socket
import struct

from .clock import milliseconds

_NTP_1900 = const(2208988800)  # Unix epoch in NTP seconds
_ERA = const(1 << 32)


async def query(server, timeout):
    """Ask one server; return Unix seconds. Raises OSError or ValueError. timeout in seconds, DNS not included."""
    # getaddrinfo has no timeout on ESP32: only the resolver's own retries bound it.
    address = socket.getaddrinfo(server, 123)[0][-1]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        # The transmit timestamp is random: who cannot see the query cannot forge the reply.
        nonce = os.urandom(8)
        sock.sendto(b"\x23" + bytes(39) + nonce, address)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        deadline = milliseconds() + timeout * 1000
        while not poll.poll(0):
            if milliseconds() >= deadline:
                raise OSError("no answer")
            await asyncio.sleep_ms(20)
        return parse(sock.recv(64), nonce)
    finally:
        sock.close()


def parse(reply, nonce):
    """Unix seconds out of a reply. Raises ValueError for one that RFC 4330 section 5 tells a client to discard."""
    if len(reply) < 48:
        raise ValueError("short reply")
    leap, mode, stratum = reply[0] >> 6, reply[0] & 7, reply[1]
    if mode != 4:
        raise ValueError("not a server's reply")
    if stratum == 0:
        raise ValueError("kiss-o'-death")
    if leap == 3 or stratum > 15:
        raise ValueError("the server is not synchronized")
    if reply[24:32] != nonce:
        raise ValueError("the origin timestamp is not ours")
    seconds = struct.unpack("!I", reply[40:44])[0]
    if not seconds:
        raise ValueError("no transmit timestamp")
    if not seconds & 0x80000000:
        seconds += _ERA  # NTP's era 1 begins in 2036
    return seconds - _NTP_1900
