# The part of the outbox that is in flash: what waits there, and sending it. In RAM only for that; writing is spill.py's.
from .segments import Log


class Backlog:
    """Raises nothing: what flash does not give is reported. known: what state() said when it was in RAM before.

    aside: streams that are passed over.
    """

    def __init__(self, directory, known, aside):
        loose, kept = known or (None, None)
        # What may be dropped lies apart from what may not, so that dropping a segment never takes the wrong record.
        self.loose = Log(directory + "/drop", loose, aside)
        self.kept = Log(directory + "/keep", kept, aside)

    def state(self):
        """All that is not in flash, in plain objects. It is not to be used any more."""
        return self.loose.state(), self.kept.state()

    def empty(self):
        return not self.loose.segments and not self.kept.segments

    def blocks(self):
        return self.loose.blocks() + self.kept.blocks()

    def damaged(self):
        """Records found damaged, and segments that could not be read."""
        return self.loose.damaged + self.kept.damaged

    def next(self):
        """((kept, segment's number), stream, payload) of the next record to send, or None."""
        for log in (self.kept, self.loose):
            found = log.next()
            if found:
                return (log is self.kept, found[0].number), found[1], found[2]
        return None

    def again(self, stream):
        """What was passed over of a stream is to be read."""
        for log in (self.kept, self.loose):
            log.again.append(stream)

    def postpone(self, place):
        """The record of that place was handed out in vain, and its stream is set aside."""
        (self.kept if place[0] else self.loose).postpone(place[1])

    def done(self, place):
        """The record of that place is delivered."""
        (self.kept if place[0] else self.loose).done(place[1])
