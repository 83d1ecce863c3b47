"""Whether the tests notice each defect: ``python -m campaign.mutants [--workers N] [WORDS]...``.

WORDS choose mutants by their names. Ends with 1 where a mutant survives, and with 2 where one cannot be judged.
"""

import argparse
import sys
import time

from campaign.mutants.catalogue import MUTANTS
from campaign.mutants.mutant import DoesNotApply
from campaign.mutants.run import CannotJudge, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORDS", help="of the names of mutants; without any: all")
    parser.add_argument("--workers", type=int, default=2, help="copies of the checkout that run at once (default: 2)")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not given.words or any(words in mutant.name for words in given.words)]
    if not chosen:
        parser.error(f"no mutant is named {' or '.join(given.words)}")
    began, survivors = time.monotonic(), []
    try:
        for fate in run(chosen, given.workers):
            word, by = ("killed", fate.killer) if fate.killer else ("SURVIVED", ", ".join(fate.mutant.tests))
            print(f"{word:<8}  {fate.mutant.name}: {by}", flush=True)
            if not fate.killer:
                survivors.append(fate.mutant.name)
    except (DoesNotApply, CannotJudge) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(f"{len(chosen)} mutants of leaf, {len(survivors)} survived, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(survivors))


if __name__ == "__main__":
    main()
