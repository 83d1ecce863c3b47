# An append-only log of records in small files. A file is one flash block: appending costs one erase, removing none.
#
# LittleFS makes each append whole or absent, whenever the power fails; the CRC finds what the flash itself forgot.
import binascii
import os
import struct

from .state import make_directories

SEGMENT = 4096  # bytes; LittleFS allots flash in blocks of this size
_HEADER = const(">BBHI")  # magic, length of the stream's name, length of the payload, CRC-32 of both
_SIZE = const(8)
_MAGIC = const(0xA7)


class Segment:
    def __init__(self, number, size, ours):
        self.number = number
        self.ours = ours  # of this boot: only to its own does a boot append, for it cannot know what another left behind
        self.size = size
        self.flying = {}  # offset -> True, of records in flight that reading must pass over
        self.pending = 0  # records handed out or in flight, without a PUBACK
        self.read = False  # handed out to the end
        self.gone = False

    def blocks(self):
        return (self.size + SEGMENT - 1) // SEGMENT


def encode(stream, payload):
    """One record as bytes; stream at most 255 bytes, payload at most 65,535."""
    name = stream.encode()
    crc = binascii.crc32(payload, binascii.crc32(name))
    return struct.pack(_HEADER, _MAGIC, len(name), len(payload), crc) + name + payload


def read_record(file):
    """(stream, payload, bytes taken) at the file's place; stream is None for a damaged record; None at the end."""
    header = file.read(_SIZE)
    if not header:
        return None
    if len(header) < _SIZE or header[0] != _MAGIC:
        return None, b"", len(header) + len(file.read())  # what follows has no beginning that could be trusted
    _, name, length, crc = struct.unpack(_HEADER, header)
    body = file.read(name + length)
    taken = _SIZE + len(body)
    if len(body) < name + length or binascii.crc32(body) != crc:
        return None, b"", taken
    return body[:name].decode(), body[name:], taken


class Log:
    """Records in order, oldest first. All sizes in bytes. Raises OSError where the flash does."""

    def __init__(self, directory):
        self._directory = directory
        self._file = None  # open on the segment that is read
        self._segment = None
        self._at = 0
        self.damaged = 0
        self.segments = []
        try:
            found = sorted(int(name) for name in os.listdir(directory) if name.isdigit())
        except OSError:
            make_directories(directory)
            found = []
        for number in found:
            self.segments.append(Segment(number, os.stat(self._path(number))[6], False))

    def blocks(self):
        return sum(segment.blocks() for segment in self.segments)

    def append(self, records):
        """Write the records and return the (segment, offset) of each."""
        tail = self.segments[-1] if self.segments else None
        if tail is None or not tail.ours or tail.size >= SEGMENT or tail.read or tail is self._reading():
            tail = Segment(tail.number + 1 if tail else 1, 0, True)
        places = []
        size = tail.size
        try:
            with open(self._path(tail.number), "ab") as file:
                for record in records:
                    data = encode(record.stream, record.payload)
                    places.append((tail, size))
                    file.write(data)
                    size += len(data)
        finally:
            self._measure(tail)  # an error between two records leaves the first there: better twice than never
        return places

    def _measure(self, tail):
        try:
            size = os.stat(self._path(tail.number))[6]
        except OSError:
            return
        if not tail.size:
            self.segments.append(tail)
        tail.size = size

    def next(self):
        """(segment, stream, payload) of the next record nobody has been handed yet, or None."""
        while True:
            segment = self._reading() or self._open_next()
            if segment is None:
                return None
            at = self._at
            found = read_record(self._file)
            if found is None:
                self._finish(segment)
                continue
            stream, payload, taken = found
            self._at += taken
            if at in segment.flying:
                del segment.flying[at]
            elif stream is None:
                self.damaged += 1
            else:
                segment.pending += 1
                return segment, stream, payload

    def done(self, segment):
        """One of the segment's records has been delivered."""
        segment.pending -= 1
        if segment.read and not segment.pending:
            self._remove(segment)

    def drop_oldest(self):
        """Remove the oldest segment; return how many of its undelivered records each stream lost."""
        segment = self.segments[0]
        lost = {}
        at = 0
        if self._reading() is segment:
            at = self._at
            self._close()
        if not segment.read:
            with open(self._path(segment.number), "rb") as file:
                file.seek(at)
                while True:
                    found = read_record(file)
                    if found is None:
                        break
                    if found[0] is not None and at not in segment.flying:
                        lost[found[0]] = lost.get(found[0], 0) + 1
                    at += found[2]
        self._remove(segment)
        return lost

    def _reading(self):
        return self._segment if self._file else None

    def _open_next(self):
        for segment in self.segments:
            if not segment.read:
                self._file = open(self._path(segment.number), "rb")
                self._segment = segment
                self._at = 0
                return segment
        return None

    def _finish(self, segment):
        self._close()
        segment.read = True
        if not segment.pending:
            self._remove(segment)

    def _close(self):
        if self._file:
            self._file.close()
            self._file = None

    def _remove(self, segment):
        if not segment.gone:
            segment.gone = True
            self.segments.remove(segment)
            os.remove(self._path(segment.number))

    def _path(self, number):
        return "%s/%d" % (self._directory, number)
