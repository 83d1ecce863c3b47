"""One seed: what happens to the device, when, and what must be well again by when."""

import random
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from campaign.months import troubles, verdict
from campaign.months.events import DAY, HOUR, MINUTE, NEVER, SECOND
from campaign.months.life import Life, LifeOver, Trouble, World

DAYS = 21
ONLINE = 15 * MINUTE
"""Beside twice the keep-alive: after it the device is connected and subscribed, once the world is well again."""
DELIVERED = 75 * MINUTE
"""After it everything that may not be lost has arrived, and every message was received."""


@dataclass
class Outcome:
    """What one life did and found; ``problems`` is empty where all is well."""

    seed: int
    days: float = 0
    kept: int = 0
    delivered: int = 0
    messages: int = 0
    boots: int = 0
    slowest: float = 0
    """Seconds of simulated time until the device was online again, at worst."""
    troubles: dict[str, int] = field(default_factory=dict)
    seconds: float = 0
    problems: list[str] = field(default_factory=list)


class Seed:
    """Draws the troubles of a life, and looks whether all is well between them."""

    def __init__(self, life: Life, seed: int, outcome: Outcome, kinds: Collection[str]) -> None:
        self._life, self._outcome = life, outcome
        self._random = random.Random(~seed)
        # Some devices are left in peace for weeks, others hardly for an hour.
        self._peace = self._random.choice([12, 24, 48, 96])  # hours, about
        self._kinds = {name: kind for name, kind in troubles.KINDS.items() if name in kinds}
        self._active = 0
        self._turn = 0  # of bursts of trouble
        life.events.after(HOUR, self._burst)
        life.events.after(2 * HOUR, self._news)

    def _burst(self) -> None:
        self._turn += 1
        self._start()
        for _ in range(self._random.choice([0, 0, 0, 1, 2])):
            self._life.events.after(self._random.uniform(0, 40) * MINUTE, self._start)

    def _start(self) -> None:
        life = self._life
        if self._active and life.troubles and troubles.KINDS[life.troubles[-1].name].solitary:
            return
        possible = {
            name: kind.weight
            for name, kind in self._kinds.items()
            if not (kind.online and not life.online()) and not (kind.solitary and self._active)
        }
        if possible:
            [name] = self._random.choices(list(possible), list(possible.values()))
            self._begin(name)
        else:
            life.events.after(10 * MINUTE, self._start)

    def _begin(self, name: str) -> None:
        life, kind = self._life, troubles.KINDS[name]
        trouble = Trouble(name, life.events.now, kind.allowed)
        life.troubles.append(trouble)
        life.say(name)
        self._active += 1
        self._note_change()
        self._step(kind.run(life, trouble), trouble)

    def _step(self, steps: Iterator[float], trouble: Trouble) -> None:
        life = self._life
        try:
            wait = next(steps)
        except StopIteration:
            self._end(trouble)
        else:
            life.events.after(wait * SECOND, lambda: self._step(steps, trouble))

    def _end(self, trouble: Trouble) -> None:
        life = self._life
        trouble.ended = life.events.now
        life.say(f"{trouble.name} is over")
        self._active -= 1
        self._note_change()
        if self._active:
            return
        well, turn = life.events.now, self._turn
        online = 2 * life.keep_alive * SECOND + ONLINE
        life.events.after(MINUTE // 2, lambda: self._watch(well))
        life.events.after(online, lambda: self._must_be_online(well))
        life.events.after(online + DELIVERED, lambda: self._must_be_delivered(well, turn))
        pause = DELIVERED + HOUR + self._random.expovariate(1 / self._peace) * HOUR
        life.events.after(online + pause, self._burst)

    def _note_change(self) -> None:
        life = self._life
        life.changed = life.events.now
        life.disturbed = any(not troubles.KINDS[each.name].subtle for each in life.troubles if each.ended == NEVER)

    def _undisturbed(self, well: int) -> bool:
        return not self._active and self._life.changed == well

    def _watch(self, well: int) -> None:
        if not self._undisturbed(well):
            return
        if self._life.online():
            self._outcome.slowest = max(self._outcome.slowest, (self._life.events.now - well) / SECOND)
        else:
            self._life.events.after(MINUTE // 6, lambda: self._watch(well))

    def _must_be_online(self, well: int) -> None:
        life = self._life
        if self._undisturbed(well) and not self._is_back():
            after = life.troubles[-1].name
            life.problems.append(f"day {life.day()}: still down {(life.events.now - well) // MINUTE} minutes after {after}")
            raise LifeOver

    def _is_back(self) -> bool:
        life = self._life
        return life.online() and life.broker.heard > life.events.now - 2 * life.keep_alive * SECOND

    def _must_be_delivered(self, well: int, turn: int) -> None:
        life = self._life
        if not self._undisturbed(well) or turn != self._turn:
            return
        problems = []
        life.waiting &= verdict.kept(life, life.events.now) - verdict.kept(life, well)  # all else has come, or never will
        if missing := verdict.kept(life, well) - verdict.delivered(life):
            problems.append(f"{len(missing)} readings did not arrive {sorted(missing)[:2]}")
            life.excuses.readings |= missing
        if unheard := verdict.unheard(life, well):
            problems.append(f"{len(unheard)} messages were not received {sorted(unheard)[:2]}")
            life.excuses.messages |= unheard
        before = ", ".join(trouble.name for trouble in life.troubles[-3:])
        life.problems += [f"day {life.day()}, after {before}: {problem}" for problem in problems]

    def _news(self) -> None:
        life = self._life
        life.message("fleet/news")
        life.events.after(self._random.expovariate(1 / 6) * HOUR + MINUTE, self._news)


def run(
    world: World, seed: int, days: float = DAYS, kinds: Collection[str] = tuple(troubles.KINDS), logs: Path | None = None
) -> Outcome:
    """One life. What the board said goes to the directory ``logs`` if something was wrong."""
    outcome, began = Outcome(seed), time.monotonic()
    life = Life(world, seed)
    try:
        Seed(life, seed, outcome, kinds)
        life.live(int(days * DAY))
    except LifeOver:
        pass
    finally:
        life.close()
    outcome.problems = verdict.judge(life)
    outcome.days = round(life.events.now / DAY, 2)
    outcome.kept, outcome.delivered = len(verdict.kept(life, life.events.now)), len(verdict.delivered(life))
    outcome.messages, outcome.boots, outcome.troubles = len(life.sent), len(life.boots), life.counts()
    outcome.seconds = round(time.monotonic() - began, 2)
    if outcome.problems and logs:
        logs.mkdir(parents=True, exist_ok=True)
        text = [f"{life.day(when)} {line}" for when, line in life.lines]
        (logs / f"seed-{seed}.txt").write_text("\n".join([*outcome.problems, "", *text]) + "\n")
    return outcome
