"""MQTT packets as a scripted server reads them."""

import socket

Packet = tuple[int, bytes]
"""The first byte, and the body."""


def receive(connection: socket.socket) -> Packet:
    """The next packet. Raises OSError where the client hangs up."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = connection.recv(count - len(data))
            if not more:
                raise OSError("the client hung up")
            data += more
        return data

    first, length = exactly(1)[0], 0
    for shift in (0, 7, 14, 21):
        byte = exactly(1)[0]
        length |= (byte & 0x7F) << shift
        if not byte & 0x80:
            break
    return first, exactly(length)
