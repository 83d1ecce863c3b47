# A log of records in small files. A file is one flash block: appending (spill.py) costs one erase, removing none.
#
# LittleFS makes each append whole or absent, whenever the power fails; the CRC finds what the flash itself forgot.
import binascii
import errno
import os
import struct

from .modules import use

SEGMENT = 4096  # bytes; LittleFS allots flash in blocks of this size
HEADER = ">BBHI"  # magic, length of the stream's name, length of the payload, CRC-32 of both
_SIZE = const(8)
MAGIC = 0xA7


class Segment:
    def __init__(self, number, size, ours, at=0, pending=0, read=False, flying=None, later=False, only=None):
        self.number = number
        self.ours = ours  # of this boot: only to its own does a boot append, for it cannot know what another left behind
        self.size = size
        self.at = at  # offset of what is to be handed out next
        self.pending = pending  # records handed out or in flight, without a PUBACK
        self.read = read  # handed out to the end
        self.flying = flying or {}  # offset -> True, of records in flight that reading must pass over
        self.later = later  # it has records of a stream that is set aside, to be read another time
        self.only = only  # the streams that are read this time; the other records were delivered the last time

    def blocks(self):
        return (self.size + SEGMENT - 1) // SEGMENT

    def state(self):
        return self.number, self.size, self.ours, self.at, self.pending, self.read, self.flying, self.later, self.only


def read_record(file, left):
    """(stream, payload, bytes taken) at the file's place; stream is None for a damaged record; None at the end.

    left: bytes up to the file's end.
    """
    header = file.read(_SIZE)
    if not header:
        return None
    name = length = left
    if len(header) == _SIZE and header[0] == MAGIC:
        _, name, length, crc = struct.unpack(HEADER, header)
    taken = _SIZE + name + length
    if taken > left:  # it has no beginning, or one to be trusted: to read so much might take more than the heap has
        file.seek(0, 2)
        return None, b"", left
    body = file.read(name + length)
    if binascii.crc32(body) != crc:
        return None, b"", taken
    return body[:name].decode(), body[name:], taken


class Log:
    """Records in order, oldest first. All sizes in bytes.

    A segment that cannot be read is set aside, to where no boot looks: it must not be in the way of the others.

    known: what state() said of it before its code left RAM; else it is read from flash. aside: streams that are passed over.
    """

    def __init__(self, directory, known=None, aside=()):
        self.directory = directory
        self._file = None  # open on the segment that is read
        self.segment = None
        self._aside = aside
        self.again = []  # streams that were passed over, and are to be read once the rest is
        self.damaged = 0  # records, and segments that could not be read
        self.last = 0
        self.segments = []
        if known:
            self.damaged, self.last, self.again, segments = known
            self.segments.extend([Segment(*state) for state in segments])
            return
        try:
            found = sorted(int(name) for name in os.listdir(directory) if name.isdigit())
        except OSError as error:
            if error.errno != errno.ENOENT:  # it is not there before the first record is
                use("aside", "report", directory, "cannot be read (%s)" % error)
            return
        for number in found:
            self.last = number
            segment = Segment(number, 0, False)
            self.segments.append(segment)
            try:
                segment.size = os.stat(self.path(number))[6]
            except OSError as error:
                use("aside", "segment", self, segment, error)

    def state(self):
        """All that is not in flash, in plain objects. The log is not to be used any more."""
        self.close()
        return self.damaged, self.last, self.again, [segment.state() for segment in self.segments]

    def aside(self, stream):
        """Whether the stream is passed over."""
        return stream in self._aside

    def blocks(self):
        return sum(segment.blocks() for segment in self.segments)

    def next(self):
        """(segment, stream, payload) of the next record nobody has been handed yet, or None."""
        while True:
            segment = self._reading() or self._open_next()
            if segment is None:
                return None
            at = segment.at
            try:
                found = read_record(self._file, segment.size - at)
            except OSError as error:
                use("aside", "segment", self, segment, error)
                continue
            if found is None:
                self._finish(segment)
                continue
            stream, payload, taken = found
            segment.at += taken
            if at in segment.flying:
                del segment.flying[at]
            elif stream is None:
                self.damaged += segment.only is None
            elif stream in self._aside:
                segment.later = True
            elif segment.only is None or stream in segment.only:
                segment.pending += 1
                return segment, stream, payload

    def done(self, number):
        """A record of the segment of that number has been delivered."""
        self._back(number, False)

    def postpone(self, number):
        """One was handed out in vain: its stream is set aside."""
        self._back(number, True)

    def _back(self, number, later):
        segment = self.segment
        if not segment or segment.number != number:
            found = [segment for segment in self.segments if segment.number == number]
            if not found:
                return  # it was dropped meanwhile
            segment = found[0]
        segment.pending -= 1
        segment.later = segment.later or later
        self._leave(segment)

    def _reading(self):
        return self.segment if self._file else None

    def _open_next(self):
        if self.again and not [segment for segment in self.segments if not segment.read]:
            for segment in self.segments:
                if segment.later:
                    segment.read = segment.later = False
                    segment.at = 0
                    segment.only = self.again
            self.again = []
        for segment in list(self.segments):
            if not segment.read:
                try:
                    self._file = open(self.path(segment.number), "rb")
                    self._file.seek(segment.at)
                except OSError as error:
                    use("aside", "segment", self, segment, error)
                    continue
                self.segment = segment
                return segment
        return None

    def _finish(self, segment):
        self.close()
        segment.read = True
        self._leave(segment)

    def _leave(self, segment):
        if segment.read and not segment.pending and not segment.later:
            self.remove(segment)

    def close(self):
        if self._file:
            self._file.close()
            self._file = None

    def remove(self, segment):
        if segment in self.segments:
            self.segments.remove(segment)
            try:
                os.remove(self.path(segment.number))
            except OSError as error:
                use("aside", "report", self.path(segment.number), "cannot be removed (%s)" % error)

    def path(self, number):
        return "%s/%d" % (self.directory, number)
