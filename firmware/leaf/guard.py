# The watchdog, fed only while every task shows signs of life; and the count of boots that came to nothing.
import asyncio
import os
import time

from . import state
from .log import log

SAFE_AFTER = 4  # failed boots in a row
PROVEN = 60  # seconds of health after which a boot is no failure
_FILE = "boots.json"
_RESETS = ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT")


class Guard:
    """timeout is the hardware watchdog's, in seconds; 0 leaves it off.

    It must exceed the longest call that blocks within C: a DNS lookup (no timeout on ESP32) and then a handshake.
    """

    def __init__(self, timeout):
        self._tasks = {}  # name -> [longest silence, last sign of life], milliseconds
        self._wdt = None
        self._timeout = timeout
        self._silent = None

    def start(self):
        if self._timeout:
            import machine

            self._wdt = machine.WDT(timeout=self._timeout * 1000)

    def expect(self, task, seconds):
        """From now on the task must show life at least every so many seconds."""
        self._tasks[task] = [seconds * 1000, time.ticks_ms()]

    def alive(self, task):
        self._tasks[task][1] = time.ticks_ms()

    async def run(self, every_second, proves):
        """Feed the watchdog while all is well, and call every_second. proves: a minute of it proves the boot. Endless."""
        seconds = 0
        while True:
            self._feed()
            every_second()
            await asyncio.sleep(1)
            seconds += 1
            if seconds == PROVEN and proves:
                proven()

    def _feed(self):
        now = time.ticks_ms()
        for task in self._tasks:
            limit, last = self._tasks[task]
            if time.ticks_diff(now, last) > limit:
                if self._silent != task:
                    self._silent = task
                    log("watchdog", "%s is silent for more than %d s: not fed any more" % (task, limit // 1000))
                return
        self._silent = None
        if self._wdt:
            self._wdt.feed()


def count_boot():
    """To be called once at boot. Returns how many boots failed in a row before this one, for this very code.

    A boot fails when a reset ends it (watchdog, panic, the application's exception) before it was healthy for a minute.
    Somebody who plugs a board in and out is no failure.
    """
    import machine

    code = _code()
    failed, unproven, of = _read()
    if of != code:
        failed, unproven = 0, False
    if unproven and machine.reset_cause() not in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
        failed += 1
    _write(failed, True, code)
    return failed


def proven():
    """This boot did not fail."""
    failed, unproven, code = _read()
    if failed or unproven:
        _write(0, False, code)


def reset_cause():
    """Why this boot came to be: "pwron", "hard", "wdt", "deepsleep", "soft", or a port's own number."""
    import machine

    cause = machine.reset_cause()
    for name in _RESETS:
        if getattr(machine, name + "_RESET", None) == cause:
            return name.lower()
    return str(cause)


def _read():
    found = state.read(_FILE, [])
    return found if len(found) == 3 else [0, False, None]


def _write(failed, unproven, code):
    state.write(_FILE, [failed, unproven, code])


def _code():
    # New code deserves a new count: a board repaired by a push must not stay in safe mode.
    seen = []
    for name in ("/app.mpy", "/rom/app.mpy", "/build.json"):
        try:
            seen.append(str(os.stat(name)[6:9]))
        except OSError:
            seen.append("")
    return "".join(seen)
