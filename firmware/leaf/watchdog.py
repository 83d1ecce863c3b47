# The watchdog, fed only while every task shows signs of life.
import asyncio

from .clock import milliseconds
from .log import log
from .modules import use

_PROVEN = const(60)  # seconds of health after which a boot is no failure


class Guard:
    """Starts the hardware watchdog. timeout is in seconds; 0 leaves it off.

    It must exceed the longest call that blocks within C: a DNS lookup (no timeout on ESP32) and then a handshake.
    """

    def __init__(self, timeout):
        self._tasks = {}  # name -> [longest silence, last sign of life], milliseconds
        self._wdt = None
        self._silent = None
        if timeout:
            import machine

            self._wdt = machine.WDT(timeout=timeout * 1000)

    def expect(self, task, seconds):
        """From now on the task must show life at least every so many seconds."""
        self._tasks[task] = [seconds * 1000, milliseconds()]

    def alive(self, task):
        self._tasks[task][1] = milliseconds()

    async def run(self, every_second, proves):
        """Feed the watchdog while all is well, and call every_second. proves: a minute of it proves the boot. Endless."""
        seconds = 0
        while True:
            self._feed()
            every_second()
            await asyncio.sleep(1)
            seconds += 1
            if seconds == _PROVEN and proves:
                use("boots", "proven")

    def _feed(self):
        now = milliseconds()
        for task in self._tasks:
            limit, last = self._tasks[task]
            if now - last > limit:
                if self._silent != task:
                    self._silent = task
                    log("watchdog", "%s silent for %d s: not fed" % (task, limit // 1000))
                return
        self._silent = None
        if self._wdt:
            self._wdt.feed()
