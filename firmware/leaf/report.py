# What is reported to the cloud after a return: the faults that it could not see. In RAM only for that.
import asyncio
import json

from . import clock, faults, state
from .log import log
from .modules import run, use


def note(device):
    """Note the faults that wait for it, and report them at once where there is a connection."""
    some, faults.waiting = faults.waiting, None
    for fault in some or ():
        use("journal", "add", device.record_of_faults, fault)
    if device.session.up:
        asyncio.create_task(run("report", "send", device))


async def send(device):
    """Publish the report, if there is anything to say. It survives, in flight, the end of this connection."""
    record, topic = device.record_of_faults, device.topics["faults"]
    if record["reporting"] or device.delivery.held(topic):
        return
    report = made(record, device.outbox.dropped)
    if not report:
        return
    report["c_heap"] = use("heap", "c_heap")
    counts = report["counts"]
    record["reporting"] = True
    device.outbox.dropped = {}

    def done(delivered):
        record["reporting"] = False
        if delivered:
            use("report", "reported", record, counts)

    report = json.dumps(report).encode()
    await device.session.room()
    await device.session.post(topic, report, False, done)


def made(record, dropped):
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
    if record["saved"] is not None or state.read("faults.json", {}):
        state.write("faults.json", {})
    record["saved"] = None
