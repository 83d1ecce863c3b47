# Readings on their way, until their PUBACK: in RAM while the link is up, else, or when RAM is full, in flash (backlog.py).
import os

from . import REFUSE_NEW
from .clock import milliseconds
from .log import log
from .modules import hold, release, use

_WAIT = const(60000)  # milliseconds that readings may gather in RAM while the link is down: one flash write a minute
_OVERHEAD = const(64)  # bytes of heap that a record takes beside its payload, about
_SPARE = const(2)  # blocks kept free: an append may need a fresh one beside the one half full
_SEGMENT = const(4096)  # segments.SEGMENT


class Record:
    flying = False
    place = None  # where its copy in flash is

    def __init__(self, stream, payload):
        self.stream = stream
        self.payload = payload
        self.size = len(payload) + _OVERHEAD


class Outbox:
    """ram and flash are bounds in bytes. rules maps a stream to REFUSE_NEW; the others drop their oldest."""

    def __init__(self, directory, ram, flash):
        self.rules = {}
        self.aside = {}  # stream -> True: it is not handed out for now
        self.dropped = {}  # stream -> records lost for want of room
        self.directory = directory
        self.blocks = flash // _SEGMENT
        self._ram_limit = ram
        self._ram = []  # undelivered records without a copy in flash, oldest first
        self._used = 0
        self._since = milliseconds()
        self._turn = False
        self.backlog = None  # while its code is in RAM
        self._known = None  # what it knew when its code left RAM
        self._figures = (0, 0, 0)  # its blocks, those of them that are kept, the records found damaged
        self._draining = False  # what waits in flash may be sent
        for part in ("/drop", "/keep"):
            try:
                if os.listdir(directory + part):
                    self._open()
                    self.rest()
                    break
            except OSError:
                pass  # not there: nothing waits in it

    def put(self, stream, payload):
        """Take a record. False: refused for want of room, by its stream's rule."""
        record = Record(stream, payload)
        why = "full"
        if self._used + record.size > self._ram_limit:
            self.flush()
        if record.size > self._ram_limit:
            room = False
            why = "%d bytes; outbox_ram takes %d" % (len(payload), self._ram_limit - _OVERHEAD)
        elif self.kept(record):
            room = self._room_for(record)
        else:
            while self._used + record.size > self._ram_limit and self._drop_from_ram():
                pass
            room = self._used + record.size <= self._ram_limit
        if not room:
            log("outbox", "%s refused: %s" % (stream, why))
            self.lost(stream, 1)
            return False
        if not self._ram:
            self._since = milliseconds()
        self._ram.append(record)
        self._used += record.size
        return True

    def flush(self):
        """Write what is only in RAM to flash. True: nothing is only in RAM any more."""
        if self._ram:
            use("spill", "write_all", self, self._open(), self._ram)
            self._leave()
        return not self._ram

    def care(self):
        """To be called about every second while the link is down: writes to flash what has waited long enough."""
        if self._ram and milliseconds() - self._since > _WAIT:
            self.flush()
        self.rest()

    def drain(self):
        """A connection has begun, and has room for what sends the readings in flash."""
        self._draining = True

    def rest(self):
        """There is no connection: the next one needs the memory of what looks after the readings in flash."""
        self._draining = False
        if self.backlog:
            try:
                self._figures = self._counted()
                self._known = self.backlog.state()
            except MemoryError:
                return
            self.backlog = None
            release("backlog")

    def take(self):
        """The next record to send, or None. What waits in flash and what is live take turns."""
        self._turn = not self._turn
        if self._turn:
            return self._from_flash() or self._from_ram()
        return self._from_ram() or self._from_flash()

    def done(self, record):
        """The record is delivered."""
        if record.place:
            self._open().done(record.place)
            self._leave()
        elif record in self._ram:
            self.forget(record)

    def give_back(self, record):
        """The record was not delivered, and its stream is set aside."""
        record.flying = False
        if record.place:
            self._open().postpone(record.place)
            self._leave()

    def try_again(self, stream):
        """The stream is handed out again."""
        self.aside.pop(stream, None)
        if self.backlog or self._figures[0]:
            self._open().again(stream)
            self._leave()

    def in_flash(self):
        """Bytes of flash in use, and records found damaged there."""
        blocks, _, damaged = self._counted()
        return blocks * _SEGMENT, damaged

    def kept(self, record):
        """Whether the record's stream refuses the new rather than drop the old."""
        return self.rules.get(record.stream) == REFUSE_NEW

    def forget(self, record):
        """It is not only in RAM any more, or nowhere."""
        self._ram.remove(record)
        self._used -= record.size

    def lost(self, stream, count):
        self.dropped[stream] = self.dropped.get(stream, 0) + count

    def _open(self):
        if not self.backlog:
            self.backlog = hold("backlog").Backlog(self.directory, self._known, self.aside)
        return self.backlog

    def _counted(self):
        backlog = self.backlog
        return (backlog.blocks(), backlog.kept.blocks(), backlog.damaged()) if backlog else self._figures

    def _leave(self):
        # Flash is empty again, or there is no connection: what looks after it goes too.
        if self.backlog and (not self._draining or self.backlog.empty()):
            draining = self._draining
            self.rest()
            self._draining = draining

    def _from_ram(self):
        for record in self._ram:
            if not record.flying and record.stream not in self.aside:
                record.flying = True
                return record
        return None

    def _from_flash(self):
        if not self._draining or not (self.backlog or self._figures[0]):
            return None
        found = self._open().next()
        if not found:
            self._leave()
            return None
        place, stream, payload = found
        record = Record(stream, payload)
        record.flying = True
        record.place = place
        return record

    def _room_for(self, record):
        # What is accepted must find its place in flash later: only streams that drop give way.
        waiting = record.size
        for other in self._ram:
            if self.kept(other):
                waiting += other.size
        return (
            self._counted()[1] + waiting // _SEGMENT + _SPARE <= self.blocks and self._used + record.size <= self._ram_limit
        )

    def _drop_from_ram(self):
        for record in self._ram:
            if not record.flying and not self.kept(record):
                self.forget(record)
                self.lost(record.stream, 1)
                return True
        return False
