# A log of records in small files. A file is one flash block: appending (spill.py) costs one erase, removing none.
#
# LittleFS makes each append whole or absent, whenever the power fails; the CRC finds what the flash itself forgot.
import binascii
import os
import struct

SEGMENT = 4096  # bytes; LittleFS allots flash in blocks of this size
HEADER = ">BBHI"  # magic, length of the stream's name, length of the payload, CRC-32 of both
_SIZE = const(8)
MAGIC = 0xA7


class Segment:
    def __init__(self, number, size, ours, at=0, pending=0, read=False, flying=None):
        self.number = number
        self.ours = ours  # of this boot: only to its own does a boot append, for it cannot know what another left behind
        self.size = size
        self.at = at  # offset of what is to be handed out next
        self.pending = pending  # records handed out or in flight, without a PUBACK
        self.read = read  # handed out to the end
        self.flying = flying or {}  # offset -> True, of records in flight that reading must pass over

    def blocks(self):
        return (self.size + SEGMENT - 1) // SEGMENT

    def state(self):
        return self.number, self.size, self.ours, self.at, self.pending, self.read, self.flying


def read_record(file):
    """(stream, payload, bytes taken) at the file's place; stream is None for a damaged record; None at the end."""
    header = file.read(_SIZE)
    if not header:
        return None
    if len(header) < _SIZE or header[0] != MAGIC:
        return None, b"", len(header) + len(file.read())  # what follows has no beginning that could be trusted
    _, name, length, crc = struct.unpack(HEADER, header)
    body = file.read(name + length)
    taken = _SIZE + len(body)
    if len(body) < name + length or binascii.crc32(body) != crc:
        return None, b"", taken
    return body[:name].decode(), body[name:], taken


class Log:
    """Records in order, oldest first. All sizes in bytes. Raises OSError where the flash does.

    known: what state() said of it before its code left RAM; else it is read from flash.
    """

    def __init__(self, directory, known=None):
        self.directory = directory
        self._file = None  # open on the segment that is read
        self.segment = None
        self.damaged = self.last = 0
        self.segments = []
        if known:
            self.damaged, self.last, segments = known
            self.segments.extend([Segment(*state) for state in segments])
            return
        try:
            found = sorted(int(name) for name in os.listdir(directory) if name.isdigit())
        except OSError:
            return  # not there before the first record is
        for number in found:
            self.segments.append(Segment(number, os.stat(self.path(number))[6], False))
            self.last = number

    def state(self):
        """All that is not in flash, in plain objects. The log is not to be used any more."""
        self.close()
        return self.damaged, self.last, [segment.state() for segment in self.segments]

    def blocks(self):
        return sum(segment.blocks() for segment in self.segments)

    def next(self):
        """(segment, stream, payload) of the next record nobody has been handed yet, or None."""
        while True:
            segment = self._reading() or self._open_next()
            if segment is None:
                return None
            at = segment.at
            found = read_record(self._file)
            if found is None:
                self._finish(segment)
                continue
            stream, payload, taken = found
            segment.at += taken
            if at in segment.flying:
                del segment.flying[at]
            elif stream is None:
                self.damaged += 1
            else:
                segment.pending += 1
                return segment, stream, payload

    def done(self, number):
        """A record of the segment of that number has been delivered."""
        segment = self.segment
        if not segment or segment.number != number:
            found = [segment for segment in self.segments if segment.number == number]
            if not found:
                return  # it was dropped meanwhile
            segment = found[0]
        segment.pending -= 1
        if segment.read and not segment.pending:
            self.remove(segment)

    def _reading(self):
        return self.segment if self._file else None

    def _open_next(self):
        for segment in self.segments:
            if not segment.read:
                self._file = open(self.path(segment.number), "rb")
                self._file.seek(segment.at)
                self.segment = segment
                return segment
        return None

    def _finish(self, segment):
        self.close()
        segment.read = True
        if not segment.pending:
            self.remove(segment)

    def close(self):
        if self._file:
            self._file.close()
            self._file = None

    def remove(self, segment):
        if segment in self.segments:
            self.segments.remove(segment)
            os.remove(self.path(segment.number))

    def path(self, number):
        return "%s/%d" % (self.directory, number)
