# Time before TLS: certificates have dates. No clock is believed that is before the image's build or long after it.
import json
import time

from . import sntp, state
from .clock import _Here, monotonic, now
from .faults import Fault
from .log import log

_RESYNC = const(86400)  # seconds between two looks at the servers
_LIFE = const(20 * 365 * 86400)  # seconds after the build that a device may live; the embedded roots expire before
_DRIFT = const(500)  # millionths: ten times what a poor crystal does, so what exceeds it is no drift
_SLACK = const(5)  # seconds that two honest servers may differ
_RETRY = const(3600)  # seconds until servers are asked again that did not answer, while the clock runs well enough
_SOON = const(600)  # seconds, where it runs on what was known before the reset
_FILE = const("time.json")


def floor(path="/build.json"):
    """When the image was built, in Unix seconds. Raises Fault."""
    try:
        with open(path) as stream:
            return json.load(stream)["built"]
    except (OSError, ValueError, KeyError):
        raise Fault("config", path + " is missing or damaged")


async def ensure(servers, timeout=3):
    """Return once the clock is believable; ask the NTP servers where it is not, and once a day. Raises Fault."""
    built = floor()
    known = state.read(_FILE, 0)
    earliest, latest = max(built, known), built + _LIFE
    believable = earliest <= now() <= latest
    if believable and not _Here.dated:
        _Here.dated = True  # it ran on through a reset, or something else set it
        _Here.due = monotonic() + _RETRY
    if believable and monotonic() < _Here.due:
        return
    found = await _ask(servers, timeout, earliest, latest, now() if believable else None)
    if found is not None:
        _set(found)
        _Here.dated, _Here.synchronized, _Here.due = True, monotonic(), monotonic() + _RESYNC
        state.write(_FILE, int(found))
    elif believable:
        _Here.due = monotonic() + _RETRY
    elif known >= built and known <= latest:
        # Somebody who holds NTP back wins no more by this than by forging its answer.
        log("clock", "no server answers: going on from the last time known before the reset")
        _set(known)
        _Here.due = monotonic() + _SOON
    else:
        raise Fault("clock-unset", "the clock is not between the image's build date and %d years later, "
                    "and no NTP server set it" % (_LIFE // 31536000))  # fmt: skip


async def _ask(servers, timeout, earliest, latest, clock_says):
    # The first plausible answer, if the clock was unset. A clock that was right moves by its drift only, unless two
    # servers say the same: one that lies must not carry us off.
    first = None
    for server in servers:
        try:
            seconds = await sntp.query(server, timeout)
        except (OSError, ValueError) as error:
            log("clock", "%s: %s" % (server, error))
            continue
        if not earliest - _SLACK <= seconds <= latest:
            log("clock", "%s says a time before this image was built, or in another age: refused" % server)
            continue
        at = monotonic()
        since = _RESYNC if _Here.synchronized is None else at - _Here.synchronized
        if clock_says is None or abs(seconds - now()) <= _SLACK + since * _DRIFT // 1000000:
            log("clock", "set from " + server)
            return seconds
        if first is not None and abs(first[0] + at - first[1] - seconds) <= _SLACK:
            log("clock", "set from %s, which another server agrees with" % server)
            return seconds
        log("clock", "%s moves the clock by %d s: not without a second server" % (server, seconds - now()))
        first = first or (seconds, at)
    return None


def _set(seconds):
    import machine

    year, month, day, hour, minute, second, weekday = time.gmtime(int(seconds - now() + time.time()))[:7]
    try:
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
    except OSError as error:
        raise Fault("clock-unset", "the clock cannot be set (%s)" % error)
