"""The power fails at every flash operation, seed after seed: ``python -m campaign.power_cuts [--seed N] [--runs N]``.

Each run is one life of an outbox on the virtual board's flash, cut within one write or erase, and a second boot that
delivers. Every reading that was promised must arrive, none damaged, and nothing may be left over. A failing run is printed
with its seed and the number of the operation, and reproduces exactly.
"""

import argparse
import tempfile
from pathlib import Path

from support import power_cut

RECORDS = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the first (default 1)")
    parser.add_argument("--runs", type=int, default=1000, help="at least so many; a seed is finished once begun")
    arguments = parser.parse_args()
    done = failed = 0
    seed = arguments.seed
    with tempfile.TemporaryDirectory() as directory:
        pristine = power_cut.make_pristine(Path(directory))
        while done < arguments.runs:
            count = power_cut.operations(pristine, seed, RECORDS)
            for cut, answer in enumerate(power_cut.live(pristine, seed, RECORDS, range(1, count + 1)), 1):
                done += 1
                for problem in power_cut.problems(answer):
                    failed += 1
                    print(f"seed {seed}, operation {cut}: {problem}", flush=True)
            seed += 1
    print(f"{done} runs over {seed - arguments.seed} seeds, {failed} failed")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
