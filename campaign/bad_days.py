"""Bad days of a device, seed after seed: ``python -m campaign.bad_days [--seed N] [--runs N] [--jobs N] [--results FILE]``.

A virtual board stores numbered readings and says which of them it promised; the cloud sends it numbered messages. Meanwhile
a seeded hand troubles the network, the radio, the clock and the flash, and resets the board (``day.py``). A failing seed is
printed; it draws the same faults again, though not at the same instruction. With --results, seeds that the file has of the
same firmware are not run again.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import queue
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rootlet import resources

from campaign import day


def edition() -> str:
    """Of what is tried out: the firmware, the virtual board, and the days themselves."""
    own = [Path(day.__file__), Path(day.__file__).parent / "scripts" / "numbered_readings.py"]
    sources = [*resources.FIRMWARE.rglob("*"), *resources.SHIMS.glob("*.py"), *own]
    made = hashlib.sha256()
    for source in sorted(path for path in sources if path.is_file()):
        made.update(source.read_bytes())
    return made.hexdigest()[:16]


def _stripe(seeds: list[int], events: int, logs: Path | None, results: Any) -> None:
    with day.World() as world:
        for seed in seeds:
            results.put(vars(day.run(world, seed, events, logs)))


def outcomes(seeds: list[int], events: int, jobs: int, logs: Path | None) -> Iterator[dict[str, Any]]:
    """The outcomes of all seeds as they come, from so many processes."""
    results: Any = multiprocessing.Queue()
    stripes = [(seeds[job::jobs], events, logs, results) for job in range(jobs)]
    workers = [multiprocessing.Process(target=_stripe, args=stripe) for stripe in stripes]
    for worker in workers:
        worker.start()
    try:
        left = len(seeds)
        while left:
            try:
                outcome = results.get(timeout=5)
            except queue.Empty:
                if any(worker.is_alive() for worker in workers):
                    continue
                raise SystemExit("a process of the campaign ended early") from None
            left -= 1
            yield outcome
    finally:
        for worker in workers:
            worker.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--events", type=int, default=day.EVENTS, help=f"troubles a run (default {day.EVENTS})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--results", type=Path, help="keep each outcome here, a line each, and skip the seeds that it has")
    parser.add_argument("--logs", type=Path, help="directory for what the board said in runs that fail")
    arguments = parser.parse_args()
    wanted, tried = range(arguments.seed, arguments.seed + arguments.runs), edition()
    done = [outcome for outcome in _kept(arguments.results) if outcome["seed"] in wanted and outcome["edition"] == tried]
    seeds = sorted(set(wanted) - {outcome["seed"] for outcome in done})
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        file = stack.enter_context(arguments.results.open("a")) if arguments.results else None
        for number, outcome in enumerate(outcomes(seeds, arguments.events, arguments.jobs, arguments.logs), 1):
            outcome["edition"] = tried
            done.append(outcome)
            if file:
                print(json.dumps(outcome), file=file, flush=True)
            for problem in outcome["problems"]:
                print(f"seed {outcome['seed']}: {problem}", flush=True)
            if outcome["problems"]:
                print(
                    f"  again: python -m campaign.bad_days --seed {outcome['seed']} --runs 1 --events {arguments.events}",
                    flush=True,
                )
            if number % 20 == 0:
                print(f"{number} of {len(seeds)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    failed = sum(bool(outcome["problems"]) for outcome in done)
    print(json.dumps(_summary(done)))
    raise SystemExit(f"{failed} of {len(done)} runs failed" if failed or len(done) < arguments.runs else 0)


def _kept(results: Path | None) -> list[dict[str, Any]]:
    if results is None:
        return []
    results.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def _summary(done: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"runs": len(done), "failed": sum(bool(outcome["problems"]) for outcome in done)}
    for name in ("promised", "delivered", "duplicates", "news", "boots", "full_flash"):
        total[name] = sum(outcome[name] for outcome in done)
    total["heap"] = max((outcome["heap"] for outcome in done), default=0)
    total["troubles"] = dict(sum((Counter(outcome["troubles"]) for outcome in done), Counter()))
    return total


if __name__ == "__main__":
    main()
