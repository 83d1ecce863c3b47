# Readings on their way: in RAM while the link is up, in flash when it is down or RAM is full, gone on their PUBACK.
import time

from .segments import SEGMENT, Log

DROP_OLDEST, REFUSE_NEW = "drop-oldest", "refuse-new"
WAIT = 60000  # milliseconds that readings may gather in RAM while the link is down: one flash write a minute
_OVERHEAD = 64  # bytes of heap that a record takes beside its payload, about
_SPARE = 2  # blocks kept free: an append may need a fresh one beside the one half full


class Record:
    def __init__(self, stream, payload):
        self.stream = stream
        self.payload = payload
        self.size = len(payload) + _OVERHEAD
        self.flying = False
        self.log = None  # where its copy in flash is
        self.segment = None


class Outbox:
    """ram and flash are bounds in bytes. rules maps a stream to REFUSE_NEW; the others drop their oldest."""

    def __init__(self, directory, ram, flash):
        self.rules = {}
        self.dropped = {}  # stream -> records lost for want of room
        self._ram_limit = ram
        self._blocks = flash // SEGMENT
        self._ram = []  # undelivered records without a copy in flash, oldest first
        self._used = 0
        self._since = time.ticks_ms()
        self._turn = False
        # What may be dropped lies apart from what may not, so that dropping a segment never takes the wrong record.
        self._loose = Log(directory + "/drop")
        self._kept = Log(directory + "/keep")

    def put(self, stream, payload):
        """Take a record. False: refused for want of room, by its stream's rule."""
        record = Record(stream, payload)
        if self._used + record.size > self._ram_limit:
            self.flush()
        if self._log_of(record) is self._kept:
            room = self._room_for(record)
        else:
            while self._used + record.size > self._ram_limit and self._drop_from_ram():
                pass
            room = self._used + record.size <= self._ram_limit
        if not room:
            self._lost(stream, 1)
            return False
        if not self._ram:
            self._since = time.ticks_ms()
        self._ram.append(record)
        self._used += record.size
        return True

    def flush(self):
        """Write what is only in RAM to flash. True: nothing is only in RAM any more."""
        for log in (self._kept, self._loose):
            batch = [record for record in self._ram if (self._log_of(record) is log)]
            while batch:
                count = self._fitting(batch)
                if not self._write(log, batch[:count]):
                    break
                batch = batch[count:]
        return not self._ram

    def care(self):
        """To be called about every second while the link is down: writes to flash what has waited long enough."""
        if self._ram and time.ticks_diff(time.ticks_ms(), self._since) > WAIT:
            self.flush()

    def take(self):
        """The next record to send, or None. What waits in flash and what is live take turns."""
        self._turn = not self._turn
        first, second = (self._from_flash, self._from_ram) if self._turn else (self._from_ram, self._from_flash)
        return first() or second()

    def done(self, record):
        """The record is delivered, or given up."""
        if record.log:
            record.log.done(record.segment)
        elif record in self._ram:
            self._forget(record)

    def in_flash(self):
        """Bytes of flash in use, and records found damaged there."""
        return (self._loose.blocks() + self._kept.blocks()) * SEGMENT, self._loose.damaged + self._kept.damaged

    def _from_ram(self):
        for record in self._ram:
            if not record.flying:
                record.flying = True
                return record
        return None

    def _from_flash(self):
        for log in (self._kept, self._loose):
            found = log.next()
            if found:
                record = Record(found[1], found[2])
                record.flying = True
                record.log = log
                record.segment = found[0]
                return record
        return None

    def _log_of(self, record):
        return self._kept if self.rules.get(record.stream) == REFUSE_NEW else self._loose

    @staticmethod
    def _fitting(batch):
        # How many of the batch make about one segment.
        size = 0
        for count, record in enumerate(batch):
            size += record.size
            if size > SEGMENT and count:
                return count
        return len(batch)

    def _write(self, log, records):
        need = sum(record.size for record in records) // SEGMENT + 1
        while self._loose.blocks() + self._kept.blocks() + need > self._blocks:
            if not self._make_room():
                return False
        while True:
            try:
                places = log.append(records)
                break
            except OSError:  # the file system is full, of other things perhaps
                if not self._make_room():
                    return False
        for record, place in zip(records, places):  # noqa: B905
            self._forget(record)
            record.log = log
            record.segment = place[0]
            if record.flying:
                # Its copy in flash is for a reboot only: it is on its way already.
                record.segment.flying[place[1]] = True
                record.segment.pending += 1
        return True

    def _make_room(self):
        if not self._loose.segments:
            return False
        for stream, count in self._loose.drop_oldest().items():
            self._lost(stream, count)
        return True

    def _room_for(self, record):
        # What is accepted must find its place in flash later: only streams that drop give way.
        waiting = sum(other.size for other in self._ram if self._log_of(other) is self._kept)
        need = self._kept.blocks() + (waiting + record.size) // SEGMENT + _SPARE
        return need <= self._blocks and self._used + record.size <= self._ram_limit

    def _drop_from_ram(self):
        for record in self._ram:
            if not record.flying and self._log_of(record) is self._loose:
                self._forget(record)
                self._lost(record.stream, 1)
                return True
        return False

    def _forget(self, record):
        self._ram.remove(record)
        self._used -= record.size

    def _lost(self, stream, count):
        self.dropped[stream] = self.dropped.get(stream, 0) + count
