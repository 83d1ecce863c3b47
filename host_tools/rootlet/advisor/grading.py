"""How a case is graded: pure functions over its timeline."""

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rootlet.advisor.timeline import Timeline


class Result(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Verdict:
    """``evidence`` is for people: times in seconds of the device, packet identifiers, alerts."""

    result: Result
    evidence: str


Grade = Callable[[Timeline], Verdict]


def passed(evidence: str) -> Verdict:
    return Verdict(Result.PASS, evidence)


def warned(evidence: str) -> Verdict:
    return Verdict(Result.WARN, evidence)


def failed(evidence: str) -> Verdict:
    return Verdict(Result.FAIL, evidence)


def not_run(evidence: str) -> Verdict:
    return Verdict(Result.NOT_RUN, evidence)


class Backoff(StrEnum):
    """What a row of waits between attempts looks like."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "strictly exponential"
    JITTERED = "jittered and growing"
    ERRATIC = "irregular, but not growing"
    TOO_FEW = "too few to say"


NOISE = 0.3
"""Seconds by which equal waits may differ: scheduling, DNS, TCP."""
RELATIVE_NOISE = 0.1
GROWTH = 1.5
"""Jittered waits grow where the longest of the last ones is this many times the longest of the first ones."""


def classify(rounds: Sequence[Sequence[float]], noise: float = NOISE) -> Backoff:
    """What the waits in ``rounds`` (seconds; each round a row of failures after a success) look like together.

    A round of jittered waits may look like anything by chance; a device that does not randomise does so in no round.
    """
    kinds = {_classify_round(waits, noise) for waits in rounds if len(waits) >= 3}
    if not kinds:
        return Backoff.TOO_FEW
    if len(kinds) == 1 and Backoff.JITTERED not in kinds:
        return kinds.pop()
    if kinds <= {Backoff.CONSTANT, Backoff.EXPONENTIAL, Backoff.LINEAR}:
        # A device that does not start over: first it grows, then it stays at its cap.
        return _classify_round([wait for waits in rounds for wait in waits], noise)
    first = sum(max(waits[:2]) for waits in rounds if len(waits) >= 3)
    last = sum(max(waits[-2:]) for waits in rounds if len(waits) >= 3)
    steady = all(max(waits) <= GROWTH * max(rounds[0]) for waits in rounds)
    return Backoff.JITTERED if last > GROWTH * first or not steady else Backoff.ERRATIC


def _classify_round(waits: Sequence[float], noise: float) -> Backoff:
    if _equal(waits, noise):
        return Backoff.CONSTANT
    steps = [after - before for before, after in itertools.pairwise(waits)]
    # The tail may sit at a cap.
    rising = list(waits)
    while len(rising) > 3 and _equal(rising[-2:], noise) and rising[-1] >= max(waits) - _slack(max(waits), noise):
        rising.pop()
    rises = steps[: len(rising) - 1]
    if min(rises) > noise / 2:
        ratios = [after / max(before, noise) for before, after in itertools.pairwise(rising)]
        if min(rises) * 1.3 < max(rises) and _geometric(rising, noise) and statistics.fmean(ratios) > 1.2:
            return Backoff.EXPONENTIAL
        if _equal(rises, noise):
            return Backoff.LINEAR
    return Backoff.JITTERED


def _geometric(waits: Sequence[float], noise: float) -> bool:
    # Each wait follows from the first two, whatever the constant part that the device adds to each.
    steps = [after - before for before, after in itertools.pairwise(waits)]
    ratio = steps[-1] / steps[-2] if len(steps) > 1 and steps[-2] > 0 else 0
    return ratio > 1.2 and all(
        abs(after - before * ratio) <= noise * (1 + ratio) + RELATIVE_NOISE * after
        for before, after in itertools.pairwise(steps)
    )


def _equal(values: Sequence[float], noise: float) -> bool:
    return max(values) - min(values) <= _slack(statistics.fmean(values), noise)


def _slack(value: float, noise: float) -> float:
    return 2 * noise + RELATIVE_NOISE * value


def waits(timeline: Timeline) -> list[float]:
    """Seconds from the end of each connection to the beginning of the next."""
    attempts = timeline.attempts()
    return [
        max(0.0, after.began - before.ended) for before, after in itertools.pairwise(attempts) if before.ended is not None
    ]


def show(values: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values) + " s"


def noise(timeline: Timeline) -> float:
    """Seconds by which equal waits may differ on this timeline: where time is compressed, the host's delays count more."""
    return NOISE + 0.03 * (timeline.speed - 1)
