# What a laboratory can do to a virtual board and nobody to a chip: let its time run faster, and its chance repeat.
#
# Faster: the modules `time` and `select` count `speed` seconds in one of the host's. What takes real time, a handshake or
# a write to flash, then takes `speed` times as much of the board's. The watchdog keeps the host's time.
import sys


def power_on(world):
    """Must come before anything imports time, select or os."""
    if "simulation" in world:
        import simulation

        simulation.power_on(world)
    elif world.get("speed", 1) != 1:
        sys.modules["time"] = _Time(world["speed"])
        sys.modules["select"] = _Select(world["speed"])
    if "seed" in world:
        sys.modules["os"] = _Os(world["seed"])


def surround(world):
    """Must come once the modules that stand for a chip are there."""
    if "simulation" in world:
        import simulation

        simulation.surround(world)


class Over:
    """A module, some names of which are ours."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)


class _Time(Over):
    def __init__(self, speed):
        import time

        super().__init__(time)
        self._speed = speed
        self._began = time.time()
        # asyncio's task queue, in C, stamps what is due at once with the host's ticks: ours must never be behind them.
        self._start = self._ticks = time.ticks_us()
        self._elapsed = 0
        self._mask = time.ticks_add(0, -1)

    def _microseconds(self):
        # Summed up step by step: ticks wrap.
        now = self._real.ticks_us()
        self._elapsed += self._real.ticks_diff(now, self._ticks)
        self._ticks = now
        return int(self._elapsed * self._speed)

    def time(self):
        return int(self._began) + self._microseconds() // 1000000

    def time_ns(self):
        return self.time() * 1000000000

    def gmtime(self, seconds=None):
        return self._real.gmtime(self.time() if seconds is None else seconds)

    localtime = gmtime

    def ticks_ms(self):
        return (self._start + self._microseconds()) // 1000 & self._mask

    def ticks_us(self):
        return self._start + self._microseconds() & self._mask

    def sleep(self, seconds):
        self._real.sleep(seconds / self._speed)

    def sleep_ms(self, milliseconds):
        self._real.sleep(milliseconds / 1000 / self._speed)

    def sleep_us(self, microseconds):
        self._real.sleep(microseconds / 1000000 / self._speed)


class _Select(Over):
    def __init__(self, speed):
        import select

        super().__init__(select)
        self._speed = speed

    def poll(self):
        return _Poll(self._real.poll(), self._speed)


class _Poll(Over):
    def __init__(self, real, speed):
        super().__init__(real)
        self._speed = speed

    def poll(self, timeout=-1):
        return self._real.poll(self._host(timeout))

    def ipoll(self, timeout=-1, flags=0):
        return self._real.ipoll(self._host(timeout), flags)

    def _host(self, timeout):
        return timeout if timeout <= 0 else max(1, int(timeout / self._speed))


class _Os(Over):
    def __init__(self, seed):
        import os
        import random

        super().__init__(os)
        random.seed(seed)
        self._random = random

    def urandom(self, size):
        # For backoff and packet nonces. TLS takes its own randomness from the host, as ever.
        return bytes(self._random.getrandbits(8) for _ in range(size))
