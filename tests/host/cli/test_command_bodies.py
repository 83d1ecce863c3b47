"""A command parses, calls and shows; what it does is done in the room that owns it."""

import ast
import inspect

import pytest
import rich_click as click
from support.commands import every_command

LONGEST_BODY = 25
"""Lines after the docstring."""

ALL = every_command()
IDS = [" ".join(path) or "rootlet" for path, _ in ALL]


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_a_command_parses_calls_and_shows_in_a_body_one_can_see_whole(path: tuple[str, ...], command: click.Command) -> None:
    function = inspect.unwrap(command.callback) if command.callback else None
    assert function
    (definition,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function))).body
    assert isinstance(definition, ast.FunctionDef)
    body = definition.body[1:] if ast.get_docstring(definition) else definition.body
    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    assert lines <= LONGEST_BODY, f"{function.__module__}.{function.__name__}: {lines} lines"
