"""Runs mutants of ``leaf``, each in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from campaign.mutants.mutant import Mutant, sources

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("boards", "campaign", "certs", "firmware", "host_tools", "tests", "pyproject.toml")
_PASSED, _FAILED = 0, 1  # pytest's exit codes
_LINES = 15


class CannotJudge(Exception):  # noqa: N818 - reads as what it is
    """The tests do not pass on the unchanged firmware, or do not run at all: their failure would say nothing."""


@dataclass(frozen=True)
class Fate:
    """``killer`` is the test that failed; empty: the mutant survived."""

    mutant: Mutant
    killer: str


class Checkout:
    """A copy of the checkout in which tests run on the firmware of the copy."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, directory / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(source, directory / part)

    def check(self, tests: Iterable[str]) -> None:
        """Raises CannotJudge where one of the tests fails, or is skipped, on the unchanged firmware."""
        done = self._pytest(sorted(set(tests)), "-rs")
        if done.returncode != _PASSED or " skipped" in done.stdout.splitlines()[-1]:
            raise CannotJudge(f"the tests say nothing, even unmutated:\n{_tail(done.stdout + done.stderr)}")

    def fate(self, mutant: Mutant) -> Fate:
        """What becomes of a mutant. Raises DoesNotApply, CannotJudge."""
        leaf = self._root / "firmware" / "leaf"
        sound = sources(leaf)
        file, changed = mutant.of(sound)
        (leaf / file).write_text(changed)
        try:
            done = self._pytest(mutant.tests, "-x")
        finally:
            (leaf / file).write_text(sound[file])
        if done.returncode not in (_PASSED, _FAILED):
            raise CannotJudge(f"{mutant.name}: pytest could not run its tests:\n{_tail(done.stdout + done.stderr)}")
        failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return Fate(mutant, failed[0].rpartition("::")[2] if failed else "")

    def _pytest(self, tests: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *options]
        return subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=self._root,
            env=os.environ | {"PYTHONPATH": str(self._root / "host_tools"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )


def run(mutants: Sequence[Mutant], workers: int = 2) -> Iterator[Fate]:
    """The fates of the mutants, in their order. Raises DoesNotApply before any runs, and CannotJudge."""
    sound = sources(ROOT / "firmware" / "leaf")
    for mutant in mutants:
        mutant.of(sound)
    with tempfile.TemporaryDirectory(prefix="rootlet-mutants-") as directory:
        free: SimpleQueue[Checkout] = SimpleQueue()
        for number in range(workers):
            free.put(Checkout(Path(directory, str(number))))
        first = free.get()
        first.check(test for mutant in mutants for test in mutant.tests)
        free.put(first)

        def fate(mutant: Mutant) -> Fate:
            checkout = free.get()
            try:
                return checkout.fate(mutant)
            finally:
                free.put(checkout)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(fate, mutants)


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-_LINES:])
