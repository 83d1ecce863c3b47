# The stand-in for the world: sockets with a scripted MQTT broker and an NTP server behind them. What they keep is allotted
# when they are made, so that it does not count as the device's.
import gc
import struct
import time

import micropython

_LENGTH = const(4096)  # bytes that may wait for the device

script = []  # what happens when: [milliseconds since boot, action, arguments], or with a period behind the arguments
_FOREVER = const(3600000)
events = []  # told by name
now = 1790000000  # Unix seconds, as the NTP server says
failing = [False]  # whether the next read is the connection's end
away = [False]  # whether DNS answers nothing


def tell(event):
    for listener in events:
        listener(event)


class Inbox:
    def __init__(self):
        self.data = bytearray(_LENGTH)
        self.view = memoryview(self.data)
        self.start = self.end = 0

    def put(self, data):
        if self.start == self.end:
            self.start = self.end = 0
        self.data[self.end : self.end + len(data)] = data
        self.end += len(data)

    def take_into(self, buffer):
        count = min(len(buffer), self.end - self.start)
        buffer[:count] = self.view[self.start : self.start + count]
        self.start += count
        return count


inbox = Inbox()
_answer = bytearray(4)
counts = {}


def received(packet):
    # The broker: what it answers to a packet of the device.
    kind = packet[0] & 0xF0
    counts[kind] = counts.get(kind, 0) + 1
    at = 1
    while packet[at] & 0x80:
        at += 1
    at += 1
    if kind == 0x10:
        _say(0x20, 2, 0, 0)
        tell("mqtt")
    elif kind == 0x80:
        topics = 0
        place = at + 2
        while place < len(packet):
            place += 3 + (packet[place] << 8 | packet[place + 1])
            topics += 1
        _say(0x90, 2 + topics, packet[at], packet[at + 1])
        for _ in range(topics):
            inbox.put(b"\x01")
    elif kind == 0x30 and packet[0] & 6:
        end = at + 2 + (packet[at] << 8 | packet[at + 1])
        _say(0x40, 2, packet[end], packet[end + 1])
    elif kind == 0xC0:
        inbox.put(b"\xd0\x00")


def _say(kind, length, first, second):
    _answer[0], _answer[1], _answer[2], _answer[3] = kind, length, first, second
    inbox.put(_answer)


def publish(topic, payload, identifier):
    """The broker delivers a message with QoS 1."""
    length = 4 + len(topic) + len(payload)
    head = bytes((0x32, length)) if length < 128 else bytes((0x32, length & 0x7F | 0x80, length >> 7))
    inbox.put(head + struct.pack("!H", len(topic)) + topic + struct.pack("!H", identifier) + payload)


def cut():
    """The connection ends."""
    inbox.start = inbox.end = 0
    failing[0] = True


def leave(seconds):
    """The connection ends, and DNS answers nothing for so long."""
    cut()
    away[0] = True
    script.append([time.ticks_ms() + seconds * 1000, "back", []])


def back():
    away[0] = False


def play():
    """Do what the script says is due; milliseconds until the next of it."""
    now = time.ticks_ms()
    pause = _FOREVER
    for entry in script:
        wait = entry[0] - now
        if wait <= 0:
            _ACTIONS[entry[1]](*entry[2])
            wait = entry[3] if len(entry) > 3 else _FOREVER * 100
            entry[0] = now + wait
        pause = min(pause, wait)
    return pause


def largest(event):
    """Tell how the heap is filled: the collector's own table, whose largest free block is what matters."""
    gc.collect()
    print("@@", event)
    micropython.mem_info()


def end():
    raise SystemExit


_ACTIONS = {"tell": tell, "publish": publish, "cut": cut, "leave": leave, "back": back, "largest": largest, "end": end}
