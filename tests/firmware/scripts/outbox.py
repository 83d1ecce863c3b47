# The beginning of the outbox's tests.
import os

from leaf.outbox import REFUSE_NEW, Outbox


def files():
    return [listed(given + "/" + name) for name in ("drop", "keep")]


def listed(directory):
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []  # made when the first record goes into it


def drain(box):
    seen = []
    box.drain()
    while True:
        record = box.take()
        if not record:
            return seen
        seen.append((record.stream, record.payload.decode()))
        box.done(record)
