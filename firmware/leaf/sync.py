# Time before TLS: certificates have dates. No clock is believed that is before the image's build or long after it.
#
# What flash keeps of it is trial.py's.
import json
import time

from . import clock, sntp, trial
from .clock import monotonic, now
from .faults import Fault
from .log import log

_RESYNC = const(86400)  # seconds between two looks at the servers
_LIFE = const(20 * 365 * 86400)  # seconds after the build that a device may live; the embedded roots expire before
_DRIFT = const(500)  # millionths: ten times what a poor crystal does, so what exceeds it is no drift
_ASLEEP = const(100)  # times that drift while a chip sleeps: a second that a reset lies in counts as so many
_SLACK = const(5)  # seconds that two honest servers may differ
_JUMP = const(60)  # seconds, which is more than a day's drift
_RETRY = const(3600)  # seconds until servers are asked again that did not answer, while the clock runs well enough
_SOON = const(600)  # seconds, where it does not
_LONG_AGO = const(1 << 24)  # seconds
_UNTRIED = const(1)
_REFUTED = const(2)


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
    latest = built + _LIFE
    known = _known(built, latest)

    def believable():
        return max(built, known) <= now() <= latest

    moved = clock.ahead is not None and abs(now() - monotonic() - clock.ahead) > _SLACK  # by nobody but the application
    if moved:
        _moved(believable())
    if clock.since is None and believable():
        _carry_over()
    if believable() and not clock.due():
        return
    found = await _ask(servers, timeout, built, max(built, known), latest, believable())
    if found is not None:
        if not clock.doubt and abs(found - now()) > _JUMP:
            clock.doubt = _UNTRIED
        _set(found)
        _vouch(0, _SOON if clock.doubt == _REFUTED else _RESYNC)
        clock.answer = int(found)
        if not clock.doubt:
            trial.done()
    elif believable():
        if moved:
            _vouch(_RESYNC, 0)  # the application may know
        dated = clock.dated()
        clock.again = monotonic() + (_RETRY if dated else _SOON)
        if not dated:
            clock.ahead = None
    elif known:
        # Somebody who holds NTP back wins no more by this than by forging its answer.
        log("clock", "no server answers: going on from the last time known before the reset")
        _set(known)
        _vouch(_LONG_AGO, _SOON)
    else:
        raise Fault("clock-unset", "the clock is not between the image's build date and %d years later, "
                    "and no NTP server set it" % (_LIFE // 31536000))  # fmt: skip


def _known(built, latest):
    known, answer = trial.kept()
    if not clock.answer:
        clock.answer = answer
    if known > latest:
        log("clock", "the time known before the reset is in another age: forgotten")
    return known if built <= known <= latest else 0


def _vouch(age, pause):
    # From now on the clock is right, but for the age of what it is from; pause: seconds until the servers are asked again.
    clock.ahead = now() - monotonic()
    clock.since = monotonic() - age
    clock.again = monotonic() + pause


def _carry_over():
    # It ran on through a reset, or something else set it.
    import machine

    if clock.answer:
        age = max(0, now() - clock.answer) * _ASLEEP
    else:
        age = _LONG_AGO if machine.reset_cause() == machine.DEEPSLEEP_RESET else _RESYNC - _RETRY
    _vouch(age, _RESYNC - age)


def _moved(believable):
    if believable:
        log("clock", "moved by %d s, and not by us" % (now() - monotonic() - clock.ahead))
        _vouch(_LONG_AGO, 0)
        clock.doubt = _UNTRIED
    else:
        log("clock", "set to another age, and not by us: put right")
        _set(monotonic() + clock.ahead)


async def _ask(servers, timeout, built, earliest, latest, believable):
    # What is not far from the clock is taken from one server, and what two say. Where nothing vouches for the clock, one
    # server's word is taken too: at once if the clock is unset, else if no two agree; and where a certificate refuted the
    # clock, rather another's than what it shows already.
    refuted = clock.doubt == _REFUTED
    alone = refuted or not (believable and clock.dated())
    near = _SLACK + (monotonic() - clock.since) * _DRIFT // 1000000 if believable and not refuted else -1
    seen = []
    for server in servers:
        try:
            seconds = await sntp.query(server, timeout)
        except (OSError, ValueError) as error:
            log("clock", "%s: %s" % (server, error))
            continue
        at = monotonic()
        if not built - _SLACK <= seconds <= latest:
            log("clock", "%s says a time before this image was built, or in another age: refused" % server)
            continue
        early = seconds < earliest - _SLACK
        if not early and (abs(seconds - now()) <= near or not believable):
            log("clock", "set from " + server)
            return seconds
        for other, then, _ in seen:
            if abs(other - then + at - seconds) <= _SLACK:
                log("clock", "set from %s, which another server agrees with" % server)
                return seconds
        if early:
            log("clock", "%s says a time before the last one known: not without a second server" % server)
        else:
            log("clock", "%s moves the clock by %d s: not without a second server" % (server, seconds - now()))
        seen.append((seconds, at, early))
    for shown in (False, True) if alone else ():
        for seconds, at, early in seen:
            seconds += monotonic() - at
            if (shown is (abs(seconds - now()) <= _SLACK)) if refuted else not early:
                log("clock", "set from one server, since nothing vouches for the clock")
                return seconds
    return None


def _set(seconds):
    import machine

    if abs(seconds - now()) <= 1:
        return  # nor could every board's clock be set
    year, month, day, hour, minute, second, weekday = time.gmtime(int(seconds - now() + time.time()))[:7]
    try:
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
    except OSError as error:
        raise Fault("clock-unset", "the clock cannot be set (%s)" % error)
