# The faults of an outage, counted, kept across a reboot, and reported to the cloud after the return.
#
# The device holds them as a dict: since when (Unix seconds), word -> count, the last [when, word, cause]; None is not known.
from . import clock, heap, state
from .log import log

_FILE = const("faults.json")
_LAST = const(6)  # faults kept with their cause
_SAVE = const(600)  # seconds between two writes: an outage of a month must not wear the flash out


def kept(reset):
    """What the last boot left. reset: why this boot came to be; it is reported once."""
    found = state.read(_FILE, {})
    return {
        "since": found.get("since"),
        "counts": found.get("counts") or {},
        "last": found.get("last") or [],
        "reset": reset,
        "reporting": False,
        "saved": None,
        "ticks": None,
    }


def add(record, fault):
    """Note a fault; written to flash at the first of an outage and then now and again."""
    if record["ticks"] is None:
        record["ticks"] = clock.monotonic()
    when = clock.now() if clock.dated() else None
    if record["since"] is None:
        record["since"] = when
    counts, last = record["counts"], record["last"]
    counts[fault.word] = counts.get(fault.word, 0) + 1
    if not last or last[-1][1:] != [fault.word, fault.cause]:
        last.append([when, fault.word, fault.cause])
        del last[:-_LAST]
    if record["saved"] is None or clock.monotonic() - record["saved"] >= _SAVE:
        save(record)


def save(record):
    record["saved"] = clock.monotonic()
    state.write(_FILE, {key: record[key] for key in ("since", "counts", "last")})


def report(record, dropped):
    """What to publish after a reconnect, or None where there is nothing to report. dropped: stream -> records lost."""
    counts, reset = record["counts"], record["reset"]
    if not (counts or dropped or reset):
        return None
    now = clock.now()
    if record["since"] is not None and record["since"] <= now:
        seconds = int(now - record["since"])
    else:
        seconds = clock.monotonic() - record["ticks"] if record["ticks"] is not None else 0
    words = sorted(counts)
    text = ", ".join(["%s \u00d7%d" % (word, counts[word]) for word in words]) or "no fault"
    if words:
        text = "offline %d s: %s" % (seconds, text)
    log("faults", text)
    report = {"text": text, "offline_s": seconds, "counts": dict(counts), "last": record["last"], "dropped": dropped}
    report["c_heap"] = heap.c_heap()
    if reset:
        report["reset"] = reset
    return report


def reported(record, counts):
    """The cloud has the report with these counts: forget what was in it."""
    record["reset"] = None
    for word in counts:
        left = record["counts"].get(word, 0) - counts[word]
        if left > 0:
            record["counts"][word] = left
        else:
            record["counts"].pop(word, None)
    record["last"] = []
    record["since"] = record["ticks"] = None
    if record["saved"] is not None or state.read(_FILE, {}):
        state.write(_FILE, {})
    record["saved"] = None
