"""Runs cases against a device: an endpoint, a timeline and a verdict for each."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rootlet.advisor import cases
from rootlet.advisor.chains import Chains
from rootlet.advisor.client import Clock, Timeout
from rootlet.advisor.devices import DeviceUnderTest, Environment
from rootlet.advisor.endpoint import Endpoint
from rootlet.advisor.grading import CaseVerdict, Result, failed, not_run
from rootlet.advisor.settings import Settings
from rootlet.advisor.sntp import TimeServer
from rootlet.advisor.stage import Case, NotRun, Stage
from rootlet.advisor.timeline import Event, Timeline
from rootlet.errors import BadInput, RootletError

_WORDS = 1  # seconds of the host's time in which a failed device prints its reason

SUITES = ("qualification", "all", "long")


@dataclass(frozen=True)
class CaseResult:
    """The result of one run of a case."""

    case: Case
    verdict: CaseVerdict
    events: Sequence[Event]
    repetition: int
    speed: float
    """The speed of the device's time, compared with real time."""
    seconds: float
    """The duration, in seconds of the host's time."""
    output: Sequence[str] = ()
    """The lines that the device printed."""


@dataclass
class Runner:
    """The settings of a run. The endpoint listens on ``address`` and ``port``; port 0 is any free one."""

    device: DeviceUnderTest
    chains: Chains
    address: str = "127.0.0.1"
    port: int = 0
    speed: float = 1
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    results: list[CaseResult] = field(default_factory=list)
    """What was seen so far, also of a case that did not come to its end."""

    def run(
        self, chosen: Iterable[Case], *, repeat: int = 1, on_start: Callable[[Case], None] = lambda _: None
    ) -> Iterable[CaseResult]:
        """The results of all cases, each run ``repeat`` times with consecutive seeds from ``seed``.

        A case that is interrupted, or loses its device, is not run; its result comes before the exception.
        """
        for one in chosen:
            for repetition in range(repeat):
                on_start(one)
                yield from self._run(one, repetition)

    def _run(self, one: Case, repetition: int) -> Iterator[CaseResult]:
        clock = Clock(self.speed if self.device.virtual and one.timed else 1)
        timeline = Timeline(clock.now, clock.speed, self.settings)
        began = time.monotonic()

        def keep(verdict: CaseVerdict) -> CaseResult:
            took, lines = time.monotonic() - began, list(self.device.lines)
            result = CaseResult(one, verdict, timeline.events, repetition, clock.speed, took, lines)
            self.results.append(result)
            return result

        try:
            if one.virtual_only and not self.device.virtual:
                verdict = not_run("the case needs the virtual board, whose environment it changes")
            else:
                verdict = asyncio.run(self._play(one, repetition, clock, timeline))
        except KeyboardInterrupt:
            yield keep(not_run(f"interrupted, after {clock.now():.1f} s"))
            raise
        except RootletError as error:
            if timeline.events:  # else the case never began, and the error says why
                yield keep(not_run(f"{error}, after {clock.now():.1f} s"))
            raise
        yield keep(verdict)

    async def _play(self, one: Case, repetition: int, clock: Clock, timeline: Timeline) -> CaseVerdict:
        endpoint = Endpoint(self.address, self.port, self.chains.good, timeline, clock, lambda: self.device.alive)
        async with TimeServer() as time_server, endpoint:
            extra = {"clock": time.time(), **one.environment}
            environment = Environment(endpoint.port, time_server.port, clock.speed, self.seed + repetition, extra)
            stage = Stage(self.device, endpoint, timeline, clock, self.chains, time_server, environment, self.settings)
            await asyncio.to_thread(self.device.start, environment)
            try:
                cut = await self._stage(one, stage)
                timeline.over = True
                verdict = _cut_off(one.grade(timeline), cut) if cut else one.grade(timeline)
                words = await self._own_words(timeline) if verdict.result is Result.FAIL else ""
            except NotRun as why:
                return not_run(str(why))
            finally:
                timeline.over = True
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self.device.stop)
        return replace(verdict, evidence=verdict.evidence + words)

    @staticmethod
    async def _stage(one: Case, stage: Stage) -> str:
        """Play the scenario. What ended it before its end, if its time limit did."""
        limit = one.time_limit(stage.settings)
        try:
            async with asyncio.timeout(stage.clock.host(limit)):
                await one.scenario(stage)
        except TimeoutError:
            cut = f"the case was ended after {limit:g} s" + ("" if one.ours or one.long else " (EXECUTION_TIMEOUT)")
            stage.note(cut)
            return cut
        except Timeout:
            pass  # the timeline has a note of the timeout
        return ""

    async def _own_words(self, timeline: Timeline) -> str:
        """The device's own explanation: the last lines of a client that ended, or the fault that leaf reported."""
        deadline = time.monotonic() + _WORDS
        while True:
            lines = [line.strip()[:200] for line in self.device.lines if line.strip()]
            if not self.device.alive:
                return f"; its last line: {lines[-1]}" if lines else ""
            faults = [line for line in lines if " fault: " in line]
            if timeline.of("tls") or time.monotonic() > deadline:
                return ""
            if faults:
                return f"; the device reported: {faults[-1]}"
            await asyncio.sleep(0.05)


def _cut_off(verdict: CaseVerdict, cut: str) -> CaseVerdict:
    # What was to be seen until the scenario's end was not seen, whatever the timeline up to here is worth.
    return verdict if verdict.result is Result.NOT_RUN else failed(f"{cut}; until then: {verdict.evidence}")


def select(names: Sequence[str], suite: str | None) -> list[Case]:
    """The cases with these names, or of the suite, in the catalogue's order. Raises BadInput for both, or unknown names."""
    catalogue = cases.catalogue()
    if names and suite:
        raise BadInput(f"both cases and a suite are given: {names[0]}, --suite {suite}", hint="choose one of the two")
    if not names:
        return [one for one in catalogue.values() if _in_suite(one, suite or "qualification")]
    known = {key.lower(): one for one in catalogue.values() for key in (one.id, str(one.number or one.id))}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise BadInput(f"unknown case {unknown[0]!r}", hint="list the cases: rootlet advisor list")
    wanted = {known[name.lower()].id for name in names}
    return [one for one in catalogue.values() if one.id in wanted]


def _in_suite(one: Case, suite: str) -> bool:
    if suite == "qualification":
        return one.starred
    return one.long == (suite == "long")


def worst(outcomes: Iterable[CaseResult]) -> Result:
    """The worst of the results; NOT_RUN where there are none."""
    order = [Result.FAIL, Result.WARN, Result.PASS, Result.NOT_RUN]
    return min((outcome.verdict.result for outcome in outcomes), key=order.index, default=Result.NOT_RUN)
