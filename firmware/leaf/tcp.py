# The rungs below TLS: DNS and TCP.
import asyncio
import select
import socket

from .clock import milliseconds
from .faults import Fault, number
from .log import log
from .modules import use

_IN_PROGRESS = const((115, 119, 11))


async def connect(host, port, timeout):
    """Connect to the first address that answers; the handshake follows with the first write. Raises Fault."""
    try:
        # getaddrinfo has no timeout on ESP32: only the resolver's own retries bound it. Asked afresh at every attempt.
        addresses = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except OSError as error:
        raise _unless_memory(error, "dns", "%s has no address (%s)" % (host, error))
    fault = Fault("dns", host + " has no address")
    for address in addresses:
        try:
            sock = await _tcp(address, timeout)
            log("tcp", "connected")
            return sock
        except OSError as error:
            fault = _unless_memory(error, "tcp", "%s port %d: %s" % (host, port, error))
    raise fault


def _unless_memory(error, word, cause):
    return use("heap", "told_apart", number(error), cause) or Fault(word, cause)


def _no_delay(sock):
    # Else a second publish waits for the TCP acknowledgement of the first (Nagle). Not every port has the option.
    try:
        sock.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
    except (OSError, ValueError):
        pass


async def _tcp(address, timeout):
    sock = socket.socket(address[0], address[1], address[2])
    try:
        sock.setblocking(False)
        _no_delay(sock)
        try:
            sock.connect(address[-1])
        except OSError as error:
            if number(error) not in _IN_PROGRESS:
                raise
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        deadline = milliseconds() + timeout * 1000
        while True:
            events = poll.poll(0)
            if events:
                if events[0][1] & (select.POLLERR | select.POLLHUP):
                    raise OSError("refused")
                return sock
            if milliseconds() >= deadline:
                raise OSError("no answer in %d s" % timeout)
            await asyncio.sleep_ms(10)
    except BaseException:
        sock.close()
        raise
