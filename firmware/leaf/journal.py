# The faults of an outage, counted, kept across a reboot, and told to the cloud after the return.
from . import clock, heap, state
from .log import log

_FILE = "faults.json"
_LAST = 6  # faults kept with their cause
_SAVE = 600  # seconds between two writes: an outage of a month must not wear the flash out


class Journal:
    """Raises nothing. Holds since when (Unix seconds or None), word -> count, and the last [when, word, cause]."""

    def __init__(self, reset):
        found = state.read(_FILE, {})
        self._since = found.get("since")
        self._counts = found.get("counts") or {}
        self._last = found.get("last") or []
        self._reset = reset  # why this boot came to be
        self._told = False
        self._saved = None
        self._ticks = None

    def add(self, fault):
        """Note a fault; written to flash at the first of an outage and then now and again."""
        if self._ticks is None:
            self._ticks = clock.monotonic()
        when = clock.now() if clock.dated() else None
        if self._since is None:
            self._since = when
        self._counts[fault.word] = self._counts.get(fault.word, 0) + 1
        if not self._last or self._last[-1][1:] != [fault.word, fault.cause]:
            self._last.append([when, fault.word, fault.cause])
            self._last = self._last[-_LAST:]
        if self._saved is None or clock.monotonic() - self._saved >= _SAVE:
            self.save()

    def save(self):
        self._saved = clock.monotonic()
        state.write(_FILE, {"since": self._since, "counts": self._counts, "last": self._last})

    def report(self, dropped):
        """What to publish after a reconnect, or None where there is nothing to tell. dropped: stream -> records lost."""
        if not (self._counts or dropped or not self._told):
            return None
        now = clock.now()
        if self._since is not None and self._since <= now:
            seconds = int(now - self._since)
        else:
            seconds = clock.monotonic() - self._ticks if self._ticks is not None else 0
        words = sorted(self._counts)
        text = ", ".join("%s \u00d7%d" % (word, self._counts[word]) for word in words) or "no fault"
        if words:
            text = "offline %d s: %s" % (seconds, text)
        log("faults", text)
        report = {"text": text, "offline_s": seconds, "counts": dict(self._counts), "last": self._last, "dropped": dropped}
        report["c_heap"] = heap.c_heap()
        if not self._told:
            report["reset"] = self._reset
        return report

    def told(self, report):
        """The cloud has that report: forget what was in it."""
        self._told = True
        for word, count in report["counts"].items():
            left = self._counts.get(word, 0) - count
            if left > 0:
                self._counts[word] = left
            else:
                self._counts.pop(word, None)
        self._last = []
        self._since = self._ticks = None
        if self._saved is not None or state.read(_FILE, {}):
            state.write(_FILE, {})
        self._saved = None
