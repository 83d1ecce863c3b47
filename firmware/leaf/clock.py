# Time before TLS: certificates have dates. The build date is the floor that no clock may be below.
import json
import time

from .faults import Fault
from .log import log

_UNIX_2000 = 946684800


def now():
    """Unix seconds, whatever this port's epoch is (2000 on ESP32, 1970 on Unix)."""
    return time.time() + (_UNIX_2000 if time.gmtime(0)[0] == 2000 else 0)


def floor(path="/build.json"):
    """When the image was built, in Unix seconds."""
    try:
        with open(path) as stream:
            return json.load(stream)["built"]
    except (OSError, ValueError, KeyError):
        raise Fault("config", path + " is missing or damaged")


async def ensure(servers, timeout=3):
    """Return once the clock is believable; ask each NTP server for it where it is not. Raises Fault."""
    earliest = floor()
    if now() >= earliest:
        return
    for server in servers:
        from . import sntp

        try:
            seconds = await sntp.query(server, timeout)
        except (OSError, ValueError) as error:
            log("clock", "%s: %s" % (server, error))
            continue
        if seconds < earliest:
            log("clock", "%s says a time before this image was built: refused" % server)
            continue
        _set(seconds)
        log("clock", "set from " + server)
        return
    raise Fault("clock-unset", "the clock is before the image's build date and no NTP server set it")


def _set(seconds):
    import machine

    year, month, day, hour, minute, second, weekday, _ = time.gmtime(int(seconds - now() + time.time()))
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
