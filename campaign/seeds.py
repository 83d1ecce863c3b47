"""What campaigns of whole lives share: seeds in several processes, outcomes that are kept, failures that are printed."""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import queue
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rootlet import resources

Outcome = dict[str, Any]
"""It has ``seed`` and ``problems``, and what is summed up."""

Stripe = Callable[[list[int], argparse.Namespace, Any], None]
"""Runs its seeds and puts each outcome into the queue."""


def arguments(parser: argparse.ArgumentParser, runs: int) -> None:
    """Add what all of them understand."""
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--runs", type=int, default=runs, help=f"(default {runs})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--results", type=Path, help="keep each outcome here, a line each, and skip the seeds that it has")
    parser.add_argument("--logs", type=Path, help="directory for what the board said in runs that fail")


def edition(own: Iterable[Path]) -> str:
    """Of what is tried out: the firmware, the virtual board, and the campaign's ``own`` files."""
    sources = [*resources.FIRMWARE.rglob("*"), *resources.SHIMS.glob("*.py"), *own]
    made = hashlib.sha256()
    for source in sorted(path for path in sources if path.is_file() and path.suffix != ".pyc"):
        made.update(source.read_bytes())
    return made.hexdigest()[:16]


def outcomes(seeds: list[int], stripe: Stripe, given: argparse.Namespace) -> Iterator[Outcome]:
    """The outcomes of all seeds as they come, from so many processes."""
    results: Any = multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=stripe, args=(seeds[job :: given.jobs], given, results)) for job in range(given.jobs)
    ]
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


def campaign(
    given: argparse.Namespace,
    stripe: Stripe,
    tried: str,
    again: Callable[[int], str],
    summary: Callable[[list[Outcome]], Outcome],
) -> None:
    """Run the seeds that ``given`` asks for and end with exit code 1, after a summary, if one failed or is missing."""
    wanted = range(given.seed, given.seed + given.runs)
    done = [outcome for outcome in _kept(given.results) if outcome["seed"] in wanted and outcome["edition"] == tried]
    seeds = sorted(set(wanted) - {outcome["seed"] for outcome in done})
    began = time.monotonic()
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        file = stack.enter_context(given.results.open("a")) if given.results else None
        for number, outcome in enumerate(outcomes(seeds, stripe, given), 1):
            outcome["edition"] = tried
            done.append(outcome)
            if file:
                print(json.dumps(outcome), file=file, flush=True)
            for problem in outcome["problems"]:
                print(f"seed {outcome['seed']}: {problem}", flush=True)
            if outcome["problems"]:
                print(f"  again: {again(outcome['seed'])}", flush=True)
            if number % 20 == 0:
                print(f"{number} of {len(seeds)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    failed = sum(bool(outcome["problems"]) for outcome in done)
    print(json.dumps({"runs": len(done), "failed": failed, **summary(done)}))
    raise SystemExit(f"{failed} of {len(done)} runs failed" if failed or len(done) < given.runs else 0)


def total(done: list[Outcome], *names: str) -> Outcome:
    """The sums of some numbers, and of the troubles by name."""
    found: Outcome = {name: round(sum(outcome[name] for outcome in done), 1) for name in names}
    found["troubles"] = dict(sum((Counter(outcome["troubles"]) for outcome in done), Counter()))
    return found


def _kept(results: Path | None) -> list[Outcome]:
    if results is None:
        return []
    results.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
