# Writing what waits in RAM to flash, and making room for it there. In RAM only while it writes.
import binascii
import os
import struct

from .segments import HEADER, MAGIC, SEGMENT, Segment, read_record
from .state import make_directories


def write_all(outbox, backlog, ram):
    """Write what waits in RAM, as much as there is room for. Raises nothing."""
    for log in (backlog.kept, backlog.loose):
        batch = [record for record in ram if outbox.kept(record) is (log is backlog.kept)]
        while batch:
            count = _fitting(batch)
            if not _write(outbox, backlog, log, batch[:count]):
                break
            batch = batch[count:]


def _fitting(batch):
    # How many of the batch make about one segment.
    size = 0
    for count, record in enumerate(batch):
        size += record.size
        if size > SEGMENT and count:
            return count
    return len(batch)


def _write(outbox, backlog, log, records):
    need = sum([record.size for record in records]) // SEGMENT + 1
    while backlog.blocks() + need > outbox.blocks:
        if not _make_room(outbox, backlog):
            return False
    while True:
        try:
            places = append(log, records)
            break
        except OSError:  # the file system is full, of other things perhaps
            if not _make_room(outbox, backlog):
                return False
    for record, (segment, offset) in zip(records, places):  # noqa: B905
        outbox.forget(record)
        record.place = (log is backlog.kept, segment.number)
        if record.flying:
            # Its copy in flash is for a reboot only: it is on its way already.
            segment.flying[offset] = True
            segment.pending += 1
    return True


def _make_room(outbox, backlog):
    if not backlog.loose.segments:
        return False
    for stream, count in drop_oldest(backlog.loose).items():
        outbox.lost(stream, count)
    return True


def encode(stream, payload):
    """One record as bytes; stream at most 255 bytes, payload at most 65,535."""
    name = stream.encode()
    crc = binascii.crc32(payload, binascii.crc32(name))
    return struct.pack(HEADER, MAGIC, len(name), len(payload), crc) + name + payload


def append(log, records):
    """Write the records and return (segment, offset) of each."""
    if not log.segments:
        make_directories(log.directory)
    tail = log.segments[-1] if log.segments else None
    if tail and tail.ours and tail.size < SEGMENT and not tail.read and not tail.at and not tail.only:
        try:
            return _put(log, tail, records)
        except OSError:
            # What is there already may be what cannot be read. In a segment of their own the records come first.
            tail.ours = False
    # Its number comes never again in a boot: a record in flight may still say it.
    return _put(log, Segment(log.last + 1, 0, True), records)


def _put(log, tail, records):
    places = []
    size = tail.size
    try:
        with open(log.path(tail.number), "ab") as file:
            for record in records:
                data = encode(record.stream, record.payload)
                places.append((tail, size))
                file.write(data)
                size += len(data)
    finally:
        _measure(log, tail)  # an error between two records leaves the first there: better twice than never
    return places


def _measure(log, tail):
    try:
        size = os.stat(log.path(tail.number))[6]
    except OSError:
        return
    if not tail.size:
        log.segments.append(tail)
        log.last = tail.number
    tail.size = size


def drop_oldest(log):
    """Remove the oldest segment; return how many of its undelivered records each stream lost."""
    segment = log.segments[0]
    lost = {}
    if log.segment is segment:
        log.close()
    # Of one that was read, what is set aside is left.
    at = 0 if segment.later else segment.at
    passed = segment.at if segment.later else 0
    try:
        with open(log.path(segment.number), "rb") as file:
            file.seek(at)
            while not segment.read or segment.later:
                found = read_record(file, segment.size - at)
                if found is None:
                    break
                if found[0] is not None and at not in segment.flying and (at >= passed or log.aside(found[0])):
                    lost[found[0]] = lost.get(found[0], 0) + 1
                at += found[2]
    except OSError:
        log.damaged += 1
    log.remove(segment)
    return lost
