# What a server's certificate says of our clock. Flash keeps the time at which one was last found valid, before which no
# single NTP server is believed, and what such a server last said. So what no certificate agrees with is not kept.
from . import clock, state
from .clock import now
from .log import log

_RENEWED = const(3600)  # seconds until the time is kept anew
_FILE = const("time.json")


def done():
    """It was valid by this clock: so much is known from now on."""
    clock.doubt = 0
    known, answer = kept()
    if clock.answer and (clock.answer != answer or now() - known > _RENEWED):
        state.write(_FILE, [int(now()), clock.answer])
        log("clock", "kept")


def failed():
    """It was not valid by this clock. A clock by which others were valid stays as it is."""
    if clock.doubt == 1:
        clock.doubt = 2
        clock.ahead, clock.again = None, 0


def kept():
    """The time known and the last answer, in Unix seconds; 0 where there is none."""
    found = state.read(_FILE, [])
    return found if len(found) == 2 and type(found[0]) is type(found[1]) is int else (0, 0)
