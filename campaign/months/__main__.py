"""Months of a device, seed after seed: ``python -m campaign.months [--seed N] [--runs N] [--days N] [--without TROUBLE]``.

A virtual board lives three weeks in simulated time, which jumps to whatever happens next. It stores numbered readings and
says which it took; the cloud sends it numbered messages. Troubles are drawn from the seed (``troubles.py``). Between them
the device must be back in time, nothing may be lost, and every fault must have a name that fits (``verdict.py``). A failing
seed is printed, and takes the same course again. With --results, seeds that the file has of the same firmware are skipped.
"""

import argparse
from pathlib import Path
from typing import Any

from campaign import seeds
from campaign.months import seed, troubles
from campaign.months.life import World


def edition(kinds: list[str], days: float) -> str:
    """Of what is tried out: the firmware, the virtual board, and the months themselves."""
    here = Path(__file__).parent
    return seeds.edition([*here.glob("*.py"), here.parent / "scripts" / "long_life.py"]) + f"-{days:g}-{len(kinds)}"


def _stripe(wanted: list[int], given: argparse.Namespace, results: Any) -> None:
    with World() as world:
        for number in wanted:
            results.put(vars(seed.run(world, number, given.days, _kinds(given), given.logs)))


def _kinds(given: argparse.Namespace) -> list[str]:
    return [kind for kind in given.only or troubles.KINDS if kind not in (given.without or [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seeds.arguments(parser, runs=200)
    parser.add_argument("--days", type=float, default=seed.DAYS, help=f"of simulated time a run (default {seed.DAYS})")
    parser.add_argument("--only", action="append", choices=list(troubles.KINDS), help="a trouble to draw; may be repeated")
    parser.add_argument("--without", action="append", choices=list(troubles.KINDS), help="a trouble not to draw; the same")
    given = parser.parse_args()
    again = f"python -m campaign.months --runs 1 --days {given.days:g} --logs build/months"
    for option, names in (("--only", given.only), ("--without", given.without)):
        again += "".join(f" {option} '{name}'" for name in names or [])
    seeds.campaign(given, _stripe, edition(_kinds(given), given.days), lambda number: f"{again} --seed {number}", _summary)


def _summary(done: list[seeds.Outcome]) -> seeds.Outcome:
    total = seeds.total(done, "days", "kept", "delivered", "messages", "boots", "seconds")
    return {**total, "slowest": max((outcome["slowest"] for outcome in done), default=0)}


if __name__ == "__main__":
    main()
