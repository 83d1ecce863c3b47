# The part of the outbox that is in flash. In RAM only while something waits there.
from .segments import SEGMENT, Log


class Backlog:
    """Raises nothing but what the flash does when it is read."""

    def __init__(self, outbox):
        self._outbox = outbox
        # What may be dropped lies apart from what may not, so that dropping a segment never takes the wrong record.
        self._loose = Log(outbox.directory + "/drop")
        self._kept = Log(outbox.directory + "/keep")

    def empty(self):
        return not self._loose.segments and not self._kept.segments

    def blocks(self):
        return self._loose.blocks() + self._kept.blocks()

    def blocks_kept(self):
        return self._kept.blocks()

    def damaged(self):
        """Records found damaged."""
        return self._loose.damaged + self._kept.damaged

    def next(self):
        """(log, segment, stream, payload) of the next record to send, or None."""
        for log in (self._kept, self._loose):
            found = log.next()
            if found:
                return log, found[0], found[1], found[2]
        return None

    def write_all(self, ram):
        """Write what waits in RAM, as much as there is room for."""
        for log in (self._kept, self._loose):
            batch = [record for record in ram if self._outbox.kept(record) is (log is self._kept)]
            while batch:
                count = _fitting(batch)
                if not self._write(log, batch[:count]):
                    break
                batch = batch[count:]

    def _write(self, log, records):
        need = sum([record.size for record in records]) // SEGMENT + 1
        while self.blocks() + need > self._outbox.blocks:
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
            self._outbox.forget(record)
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
            self._outbox.lost(stream, count)
        return True


def _fitting(batch):
    # How many of the batch make about one segment.
    size = 0
    for count, record in enumerate(batch):
        size += record.size
        if size > SEGMENT and count:
            return count
    return len(batch)
