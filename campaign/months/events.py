"""Simulated time, and what is due in it."""

import heapq
import itertools
from collections.abc import Callable

SECOND = 1_000_000  # microseconds
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
NEVER = 1 << 60

Action = Callable[[], object]


class Events:
    """A clock that goes from one event to the next. All times are microseconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0
        self._order = itertools.count()
        self._due: list[tuple[int, int, Action]] = []
        self._off: set[int] = set()

    def at(self, time: int, action: Action) -> int:
        """Have ``action`` called at ``time``, or at once if that is over; return a number for ``cancel``."""
        number = next(self._order)
        heapq.heappush(self._due, (max(time, self.now), number, action))
        return number

    def after(self, delay: float, action: Action) -> int:
        """The same, so many microseconds from now."""
        return self.at(self.now + int(delay), action)

    def cancel(self, number: int) -> None:
        self._off.add(number)

    def next(self) -> int:
        """When the next event is due; ``NEVER`` where there is none."""
        while self._due and self._due[0][1] in self._off:
            self._off.discard(heapq.heappop(self._due)[1])
        return self._due[0][0] if self._due else NEVER

    def run(self, until: int) -> bool:
        """Go on to the next event and do what is due then, or to ``until`` if that comes first; whether there was one."""
        time = self.next()
        if time > until:
            self.now = max(self.now, until)
            return False
        self.now = max(self.now, time)
        while self.next() <= self.now:
            heapq.heappop(self._due)[2]()
        return True
