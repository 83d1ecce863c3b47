"""Runs cases against a device: an endpoint, a timeline and a verdict for each."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rootlet.advisor import cases
from rootlet.advisor.chains import Chains
from rootlet.advisor.client import Absent, Clock
from rootlet.advisor.devices import Bench, Device
from rootlet.advisor.endpoint import Endpoint
from rootlet.advisor.grading import Result, Verdict, not_run
from rootlet.advisor.sntp import TimeServer
from rootlet.advisor.stage import Case, NotRun, Stage
from rootlet.advisor.timeline import Event, Timeline
from rootlet.errors import BadInput

SUITES = ("qualification", "all", "long")


@dataclass(frozen=True)
class Outcome:
    """One run of one case."""

    case: Case
    verdict: Verdict
    events: Sequence[Event]
    repetition: int
    speed: float
    """How much faster than real the device's time ran."""
    seconds: float
    """Of the host's time."""
    output: Sequence[str] = ()
    """What the device printed."""


@dataclass
class Runner:
    """``address`` and ``port`` are where the endpoint listens; port 0 is any free one."""

    device: Device
    chains: Chains
    address: str = "127.0.0.1"
    port: int = 0
    speed: float = 1
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self, chosen: Iterable[Case], *, repeat: int = 1, on_start: Callable[[Case], None] = lambda _: None
    ) -> Iterable[Outcome]:
        """Run each case ``repeat`` times, with seeds that follow on ``seed``; yields outcomes as they come."""
        for one in chosen:
            for repetition in range(repeat):
                on_start(one)
                yield asyncio.run(self._run(one, repetition))

    async def _run(self, one: Case, repetition: int) -> Outcome:
        speed = self.speed if self.device.virtual and one.timed else 1
        clock = Clock(speed)
        timeline = Timeline(clock.now, speed)
        began = time.monotonic()
        if one.virtual_only and not self.device.virtual:
            verdict = not_run("needs the virtual board: it changes what surrounds the device")
        else:
            verdict = await self._play(one, repetition, clock, timeline)
        took = time.monotonic() - began
        return Outcome(one, verdict, timeline.events, repetition, speed, took, list(self.device.lines))

    def _own_words(self, timeline: Timeline) -> str:
        # A client that fell over says why on its way out; leaf says why it does not come so far.
        lines = [line.strip()[:200] for line in self.device.lines if line.strip()]
        if lines and not self.device.alive:
            return f"; its last words: {lines[-1]}"
        faults = [] if timeline.of("tls") else [line for line in lines if " fault: " in line]
        return f"; it says: {faults[-1]}" if faults else ""

    async def _play(self, one: Case, repetition: int, clock: Clock, timeline: Timeline) -> Verdict:
        endpoint = Endpoint(self.address, self.port, self.chains.good, timeline, clock, lambda: self.device.alive)
        async with TimeServer() as time_server, endpoint:
            world = {"clock": time.time(), **one.world}
            bench = Bench(endpoint.port, time_server.port, clock.speed, self.seed + repetition, world)
            stage = Stage(self.device, endpoint, timeline, clock, self.chains, time_server, bench, self.options)
            await asyncio.to_thread(self.device.start, bench)
            try:
                async with asyncio.timeout(clock.host(one.limit)):
                    await one.scenario(stage)
            except NotRun as why:
                return not_run(str(why))
            except TimeoutError:
                timeline.add("note", 0, f"the case was ended after {one.limit:g} s")
            except Absent:
                pass  # the timeline has a note of it
            finally:
                own = self._own_words(timeline)
                timeline.over = True
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self.device.stop)
        verdict = one.grade(timeline)
        return replace(verdict, evidence=verdict.evidence + own) if verdict.result is Result.FAIL else verdict


def select(names: Sequence[str], suite: str | None) -> list[Case]:
    """The cases of these names, or of the suite, in the catalogue's order. Raises BadInput for an unknown name."""
    catalogue = cases.catalogue()
    if not names:
        return [one for one in catalogue.values() if _in_suite(one, suite or "qualification")]
    known = {key.lower(): one for one in catalogue.values() for key in (one.id, str(one.number or one.id))}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise BadInput(f"unknown case {unknown[0]!r}", way_out="rootlet advisor list shows them all")
    wanted = {known[name.lower()].id for name in names}
    return [one for one in catalogue.values() if one.id in wanted]


def _in_suite(one: Case, suite: str) -> bool:
    if suite == "qualification":
        return one.starred
    return one.long == (suite == "long")


def worst(outcomes: Iterable[Outcome]) -> Result:
    """The worst of the results; NOT_RUN where there are none."""
    order = [Result.FAIL, Result.WARN, Result.PASS, Result.NOT_RUN]
    return min((outcome.verdict.result for outcome in outcomes), key=order.index, default=Result.NOT_RUN)
