# The faults of an outage, counted, kept across a reboot, and reported to the cloud after the return (report.py).
#
# The device holds them as a dict: since when (Unix seconds), word -> count, the last [when, word, cause]; None is not known.
from . import clock, state

_FILE = const("faults.json")
_LAST = const(6)  # faults kept with their cause
_SAVE = const(600)  # seconds between two writes: an outage of a month must not wear the flash out


def kept(reset):
    """What the last boot left. reset: why this boot came to be; it is reported once."""
    found = state.read(_FILE, {})
    # What another firmware wrote, or the flash forgot, must not cost the report.
    since, counts, last = found.get("since"), found.get("counts"), found.get("last")
    if not isinstance(counts, dict) or [word for word in counts if not isinstance(counts[word], int)]:
        counts = {}
    if not isinstance(last, list) or [entry for entry in last if not isinstance(entry, list) or len(entry) != 3]:
        last = []
    return {
        "since": since if isinstance(since, int) else None,
        "counts": counts,
        "last": last,
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
    if last and last[-1][1] == fault.word == "out-of-memory":
        last[-1][2] = fault.cause  # its causes differ by what is free: to keep them all would take still more of it
    elif not last or last[-1][1:] != [fault.word, fault.cause]:
        last.append([when, fault.word, fault.cause])
        del last[:-_LAST]
    if record["saved"] is None or clock.monotonic() - record["saved"] >= _SAVE:
        save(record)


def save(record):
    record["saved"] = clock.monotonic()
    state.write(_FILE, {key: record[key] for key in ("since", "counts", "last")})
