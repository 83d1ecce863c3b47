"""A mutant: a defect as a replacement in ``leaf``, found by a pattern that survives other changes and a move of the code."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2] / "tests"


class DoesNotApply(Exception):  # noqa: N818 - reads as what it is
    """The pattern is not found exactly once, or what comes of it is not Python: the mutant must follow the code."""


@dataclass(frozen=True)
class Mutant:
    """``pattern`` is a regular expression with multi-line anchors; ``tests`` are node ids of pytest below ``tests/``."""

    name: str
    pattern: str
    replacement: str
    tests: tuple[str, ...]

    def of(self, sources: Mapping[str, str]) -> tuple[str, str]:
        """The file with the defect, and its text; ``sources`` are the sound texts by file. Raises DoesNotApply."""
        places = [file for file, text in sources.items() for _ in re.finditer(self.pattern, text, re.MULTILINE)]
        if len(places) != 1:
            where = f"{len(places)} times: {', '.join(places)}" if places else "nowhere"
            raise DoesNotApply(f"{self.name}: its pattern is found {where}")
        file = places[0]
        changed = re.sub(self.pattern, self.replacement, sources[file], count=1, flags=re.MULTILINE)
        if changed == sources[file]:
            raise DoesNotApply(f"{self.name}: it changes nothing in {file}")
        try:
            ast.parse(changed)
        except SyntaxError as error:
            raise DoesNotApply(f"{self.name}: {file} is not Python any more: {error}") from None
        return file, changed

    def missing_tests(self, tests: Path = TESTS) -> list[str]:
        """The tests that are not there, by file and name of the function."""
        return [test for test in self.tests if not _is_there(tests, test)]


def sources(leaf: Path) -> dict[str, str]:
    """The texts of the package's files, by path below it."""
    return {str(path.relative_to(leaf)): path.read_text() for path in sorted(leaf.rglob("*.py"))}


def _is_there(tests: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    path = tests / file
    if not path.is_file():
        return False
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    return name.partition("[")[0] in functions
