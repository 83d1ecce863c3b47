# Stands for lwIP's sockets.
import struct

import wire

AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2
_TO_NTP = const(2208988800)


class socket:
    def __init__(self, family=2, kind=1, protocol=0):
        self._kind = kind
        self._nonce = None

    def setblocking(self, flag):
        pass

    def setsockopt(self, level, option, value):
        pass

    def connect(self, address):
        wire.failing[0] = False
        wire.inbox.start = wire.inbox.end = 0

    def sendto(self, data, address):
        self._nonce = data[40:48]
        wire.tell("clock")

    def recv(self, size):
        reply = bytearray(48)
        reply[0], reply[1] = 0x24, 2
        reply[24:32] = self._nonce
        reply[40:44] = struct.pack("!I", int(wire.now) + _TO_NTP)
        return reply

    def close(self):
        pass


def getaddrinfo(host, port, family=0, kind=0):
    if wire.away[0]:
        raise OSError(-202)  # EAI_FAIL of lwIP
    return [(2, kind or 1, 0, "", ("192.0.2.1", port))]
