"""What must hold of a life, judged from what the board said and what arrived."""

import json
import re
from collections.abc import Iterator
from typing import Any

from campaign.months.events import DAY, HOUR, MINUTE, SECOND
from campaign.months.life import BEGIN, LEASE, STRIDE, TAKEN, Life, Trouble

Reading = tuple[str, int]

AFTER = 15 * MINUTE  # beside twice the keep-alive: how long a trouble that is over may still be spoken of
VOLATILE = 10 * MINUTE  # what a power cut may take of what was only in RAM
DATED = 60  # seconds that a reading's date may be wrong by
DATED_ASLEEP = 305  # the same after a deep sleep of up to 100 minutes, through which the clock drifts by 5 %
DATED_AFTER = 26 * HOUR  # after false time, until the servers were asked again
HEAP = 150 * 1024  # bytes of Python heap in use at a new connection
_FAULT = re.compile(r"-?\d+ fault: ([\w-]+): ")
_NEVER = re.compile(r"fault: (unexpected|out-of-memory|application|credentials)|Traceback|wasn't retrieved|Error\b|REFUSED")
_USED = re.compile(r"heap: (\d+) bytes used")


def kept(life: Life, until: int) -> set[Reading]:
    """The readings that the device took until then and that must arrive: it said so, and no power cut excuses it."""
    found, boots = set(), iter(life.boots)
    boot = next(boots)
    for time, line in life.lines:
        if line.startswith("-- boot ") and time > boot.began:
            boot = next(boots)
        if time > until:
            break
        if match := TAKEN.match(line):
            volatile = match[1] == "TOOK" and boot.how != "" and not boot.orderly and boot.ended - time <= VOLATILE
            if not volatile:
                found.add((match[2], int(match[3])))
    return found - life.excuses.readings


def delivered(life: Life) -> set[Reading]:
    return {(reading["boot"], reading["n"]) for _, reading in readings(life) if "n" in reading}


def readings(life: Life) -> Iterator[tuple[int, dict[str, Any]]]:
    """What arrived on the stream meter, and when."""
    for time, topic, payload in life.broker.arrived:
        if topic.endswith("/meter"):
            yield time, json.loads(payload)


def unheard(life: Life, until: int) -> set[str]:
    """Messages to the application, sent until then, that it did not get."""
    got = {line[4:] for _, line in life.lines if line.startswith("GOT ")}
    return {name for name, sent in life.sent.items() if sent <= until} - got - life.excuses.messages


def judge(life: Life) -> list[str]:
    """All that was wrong, a sentence each."""
    return [*life.problems, *_names(life), *_lines(life), *_dates(life), *_payloads(life), *_weeks(life), *_resets(life)]


def _names(life: Life) -> Iterator[str]:
    # Each fault has a trouble that it may come from, and each trouble the faults that it must lead to.
    after = AFTER + 2 * life.keep_alive * SECOND
    faults = [(time, match[1], line) for time, line in life.lines if (match := _FAULT.match(line))]
    for time, word, line in faults:
        if _NEVER.search(line):
            continue
        causes = [trouble for trouble in life.troubles if _near(trouble, time, after)]
        if word not in life.excuses.words and not any(word in trouble.allowed for trouble in causes):
            during = ", ".join(sorted({trouble.name for trouble in causes})) or "no trouble"
            yield f"day {life.day(time)}, {during}: {line}"
    for trouble in life.troubles:
        others = [other for other in life.troubles if other is not trouble]
        if any(other.began <= trouble.ended and trouble.began <= other.ended for other in others):
            continue  # the one may hide the other
        said = {word for time, word, _ in faults if trouble.began <= time <= trouble.ended + after}
        if trouble.required and not trouble.required & said:
            missing = "/".join(sorted(trouble.required))
            yield f"day {life.day(trouble.began)}, {trouble.name}: no {missing}, but {sorted(said)}"


def _near(trouble: Trouble, time: int, after: int) -> bool:
    return trouble.began <= time <= trouble.ended + max(after, trouble.lasting)


def _lines(life: Life) -> Iterator[str]:
    for number, (time, line) in enumerate(life.lines):
        later = [text for _, text in life.lines[number : number + 40]]
        if _NEVER.search(line) and not any("PowerCut" in text for text in later):
            yield f"day {life.day(time)}, the board said: {line}"
        if (used := _USED.search(line)) and int(used[1]) > HEAP:
            yield f"day {life.day(time)}: {used[1]} bytes of heap in use at a new connection"


def _dates(life: Life) -> Iterator[str]:
    false = [(trouble.began, trouble.ended + DATED_AFTER) for trouble in life.troubles if trouble.name == "lying NTP"]
    stamps = {(match[2], int(match[3])): time for time, line in life.lines if (match := TAKEN.match(line))}
    slept = [(boot.began, boot.ended) for boot in life.boots if boot.cause == "DEEPSLEEP"]
    for _, reading in readings(life):
        taken = stamps.get((reading["boot"], reading.get("n", -1)))
        if taken is None or "time" not in reading or any(start <= taken <= end for start, end in false):
            continue
        true = BEGIN + taken // SECOND  # when the world heard of it
        most = DATED_ASLEEP if any(start <= taken <= end for start, end in slept) else DATED
        if not true - (LEASE // SECOND + STRIDE) - most <= reading["time"] <= true + most:
            yield f"day {life.day(taken)}: a reading is dated {reading['time'] - true:+} s off"


def _payloads(life: Life) -> Iterator[str]:
    for time, topic, payload in life.broker.arrived:
        try:
            json.loads(payload, parse_constant=_refuse)
        except ValueError:
            yield f"day {life.day(time)}: not valid JSON on {topic}: {payload[:60]!r}"


def _refuse(name: str) -> None:
    raise ValueError(name)


def _weeks(life: Life) -> Iterator[str]:
    for boot, following in zip(life.boots, [*life.boots[1:], None], strict=True):
        end = following.began if following else life.events.now
        weeks = (min(boot.ended, end) - boot.began - HOUR) // (7 * DAY)
        said = sum(line.startswith("WEEKLY") and boot.began <= time < end for time, line in life.lines)
        if said < weeks + 1 and weeks > 0:
            yield f"day {life.day(boot.began)}: {said} weekly readings in {weeks} weeks"


def _resets(life: Life) -> Iterator[str]:
    # Why a board started again reaches the cloud, unless it starts again before that.
    reports = [(time, json.loads(payload)) for time, topic, payload in life.broker.arrived if topic.endswith("/faults")]
    for boot in life.boots:
        lived = min(boot.ended, life.events.now) - boot.began
        told = any(report.get("reset") == "wdt" for time, report in reports if boot.began <= time < boot.ended)
        if boot.cause == "WDT" and lived > DAY and not told:
            yield f"day {life.day(boot.began)}: the watchdog's reset is not reported"
