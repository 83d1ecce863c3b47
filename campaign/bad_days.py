"""Bad days of a device, seed after seed: ``python -m campaign.bad_days [--seed N] [--runs N] [--jobs N] [--results FILE]``.

A virtual board stores numbered readings and says which of them it promised; the cloud sends it numbered messages. Meanwhile
a seeded hand troubles the network, the radio, the clock and the flash, and resets the board (``day.py``). A failing seed is
printed; it draws the same faults again, though not at the same instruction. With --results, seeds that the file has of the
same firmware are not run again.
"""

import argparse
from pathlib import Path
from typing import Any

from campaign import day, seeds


def edition() -> str:
    """Of what is tried out: the firmware, the virtual board, and the days themselves."""
    return seeds.edition([Path(day.__file__), Path(day.__file__).parent / "scripts" / "numbered_readings.py"])


def _stripe(wanted: list[int], given: argparse.Namespace, results: Any) -> None:
    with day.World() as world:
        for seed in wanted:
            results.put(vars(day.run(world, seed, given.events, given.logs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeds.arguments(parser, runs=1000)
    parser.add_argument("--events", type=int, default=day.EVENTS, help=f"troubles a run (default {day.EVENTS})")
    given = parser.parse_args()
    again = f"python -m campaign.bad_days --runs 1 --events {given.events} --seed"
    seeds.campaign(given, _stripe, edition(), lambda seed: f"{again} {seed}", _summary)


def _summary(done: list[seeds.Outcome]) -> seeds.Outcome:
    total = seeds.total(done, "promised", "delivered", "duplicates", "news", "boots", "full_flash")
    return {**total, "heap": max((outcome["heap"] for outcome in done), default=0)}


if __name__ == "__main__":
    main()
