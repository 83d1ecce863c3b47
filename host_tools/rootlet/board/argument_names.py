"""Shorter names for the arguments of ``leaf``'s functions: on a board each name stays in RAM for ever, used or not.

MicroPython interns every name of a module that it loads and forgets none when the module goes. The names of arguments are
among them, for callers that pass them by name; where nobody does, one letter serves as well. Tracebacks do not show them.
"""

import ast
import builtins
import string
from collections.abc import Iterator, Sequence

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def passed_by_name(sources: Sequence[str]) -> set[str]:
    """The names by which some call in these sources passes an argument."""
    trees = (ast.parse(source) for source in sources)
    return {node.arg for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}


def shorten(source: str, keep: set[str]) -> str:
    """The same module with one-letter names for its functions' arguments, but for those in ``keep``."""
    tree = ast.parse(source)
    fixed = keep | {"self"} | _globals(tree) | set(dir(builtins))
    for function in _outermost(tree):
        _rename(function, fixed)
    return ast.unparse(tree)


def _globals(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        else:
            found.update(name.id for name in ast.walk(node) if isinstance(name, ast.Name))
            found.update((name.asname or name.name).split(".")[0] for name in ast.walk(node) if isinstance(name, ast.alias))
    return found


def _outermost(tree: ast.AST) -> Iterator[_Function]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _Function):
            yield node
        else:
            yield from _outermost(node)


def _rename(function: _Function, fixed: set[str]) -> None:
    # All functions within one another at once: where a name is an argument of one and a variable of another, both get the
    # same new name, so that whatever was one variable still is, and what were two still are.
    names = _names(function)
    renamed = sorted(_arguments(function) - fixed - _defined(function))
    table = dict(zip(renamed, [letter for letter in string.ascii_lowercase if letter not in names | fixed], strict=False))
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            node.arg = table.get(node.arg, node.arg)
        elif isinstance(node, ast.Name):
            node.id = table.get(node.id, node.id)
        elif isinstance(node, ast.Nonlocal):
            node.names = [table.get(name, name) for name in node.names]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = table.get(node.name, node.name)


def _arguments(function: _Function) -> set[str]:
    return {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def _names(function: _Function) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | _arguments(function)


def _defined(function: _Function) -> set[str]:
    # What is more than a variable: globals, imported names, names of functions and classes.
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
    return found
