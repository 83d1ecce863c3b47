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
class CaseVerdict:
    """A case's verdict. ``evidence`` is its explanation: times in seconds of the device, packet identifiers, alerts."""

    result: Result
    evidence: str


Grade = Callable[[Timeline], CaseVerdict]


def passed(evidence: str) -> CaseVerdict:
    return CaseVerdict(Result.PASS, evidence)


def warned(evidence: str) -> CaseVerdict:
    return CaseVerdict(Result.WARN, evidence)


def failed(evidence: str) -> CaseVerdict:
    return CaseVerdict(Result.FAIL, evidence)


def not_run(evidence: str) -> CaseVerdict:
    return CaseVerdict(Result.NOT_RUN, evidence)


class Backoff(StrEnum):
    """The pattern of the waits between attempts."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "strictly exponential"
    JITTERED = "jittered and growing"
    ERRATIC = "irregular, but not growing"
    TOO_FEW = "too few to decide"


NOISE = 0.3
"""The delay of a wait by scheduling, DNS and TCP, in seconds."""
RELATIVE_NOISE = 0.02
GROWTH = 1.5
"""Jittered waits grow where the longest of the last ones is this many times the longest of the first ones."""
CLEAR_GROWTH = 2.5
"""The same factor, for a single round."""
AT_ONCE = 4
"""Waits of up to this many times the noise are ignored, since their differences mean nothing."""
_RATIOS = [1.2 + step / 50 for step in range(141)]
"""The factors between two waits in strictly exponential backoff."""
_LONGEST_OFFSET = 3
"""The constant that a device may add to each of its exponential waits, in seconds."""


def classify(rounds: Sequence[Sequence[float]], noise: float = NOISE) -> Backoff:
    """The pattern of all waits in ``rounds`` (seconds; a round is a row of failures after a success).

    One round of jittered waits may have any pattern by chance; without jitter each round has the same one.
    """
    rounds = [waits for waits in rounds if len(waits) >= 3]
    kinds = {_classify_round(waits, noise) for waits in rounds}
    if not kinds:
        return Backoff.TOO_FEW
    if Backoff.JITTERED not in kinds:
        if len(kinds) == 1:
            return kinds.pop()
        # A device that does not reset its backoff after a success: its waits grow, then stay at the cap.
        return Backoff.EXPONENTIAL if Backoff.EXPONENTIAL in kinds else Backoff.LINEAR
    return Backoff.JITTERED if _grows(rounds) else Backoff.ERRATIC


def _grows(rounds: Sequence[Sequence[float]]) -> bool:
    # A device that does not reset its backoff after a success is at its cap from the second round on.
    first = [max(waits[:2]) for waits in rounds]
    last = [max(waits[-2:]) for waits in rounds]
    from_round_to_round = max(rounds[-1]) > GROWTH * max(rounds[0])
    return sum(last) > GROWTH * sum(first) or from_round_to_round or last[0] > CLEAR_GROWTH * first[0]


def _classify_round(waits: Sequence[float], noise: float) -> Backoff:
    if _equal(waits, noise) or max(waits) <= AT_ONCE * noise:
        return Backoff.CONSTANT
    if len(waits) > 3 and waits[0] >= max(waits[1:]) and _equal(waits[1:], noise):
        return Backoff.CONSTANT  # after a first wait that was longer
    for capped in range(len(waits) - 2):
        head, tail = waits[: len(waits) - capped], waits[len(waits) - capped :]
        if tail and not (_equal(tail, noise) and min(tail) >= head[-1] - noise and len(head) >= (4 if capped == 1 else 3)):
            continue
        if _fits(range(len(head)), head, noise) is not None:
            return Backoff.LINEAR
        if _is_exponential(head, noise):
            return Backoff.EXPONENTIAL
    return Backoff.JITTERED


def _is_exponential(waits: Sequence[float], noise: float) -> bool:
    for ratio in _RATIOS:
        offset = _fits([ratio**number for number in range(len(waits))], waits, noise)
        if offset is not None and -noise <= offset <= _LONGEST_OFFSET:
            return True
    return False


def _fits(places: Sequence[float], waits: Sequence[float], noise: float) -> float | None:
    """Where a rising line through the waits at these places begins; None where they do not lie on one."""
    slope, offset = statistics.linear_regression(places, waits)
    near = all(abs(slope * x + offset - wait) <= _slack(wait, noise) for x, wait in zip(places, waits, strict=True))
    return offset if slope > 0 and near else None


def _equal(values: Sequence[float], noise: float) -> bool:
    return max(values) - min(values) <= 2 * _slack(max(values), noise)


def _slack(value: float, noise: float) -> float:
    return 0.75 * noise + RELATIVE_NOISE * value


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
