"""Every error of the package says what is wrong and what to do: RootletError has a hint, without capitals and full stops."""

import ast
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import pytest
import rootlet

PACKAGE = Path(rootlet.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "shims" not in path.parts)


def named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@cache
def errors() -> frozenset[str]:
    """The names of RootletError and of all classes below it."""
    found = {"RootletError"}
    classes = [node for path in FILES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    while more := {node.name for node in classes if {named(base) for base in node.bases} & found} - found:
        found |= more
    return frozenset(found)


def calls(path: Path, names: Set[str]) -> Iterator[tuple[int, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and named(node.func) in names:
            yield node.lineno, node


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_error_has_a_hint(path: Path) -> None:
    for line, call in calls(path, errors()):
        hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
        assert hints, f"{path.name}:{line} has no hint"
        for text in [part for hint in hints for part in ast.walk(hint) if isinstance(part, ast.Constant)]:
            assert not (isinstance(text.value, str) and text.value.endswith(".") and len(text.value) > 1), (
                f"{path.name}:{line}"
            )
