"""All commands of the command line, and their examples."""

import inspect
import re
import shlex
from collections.abc import Iterator

import rich_click as click
from rootlet.cli.main import rootlet

Path = tuple[str, ...]


def every_command() -> list[tuple[Path, click.Command]]:
    """Each command and group with its path, as ``("cloud", "register")``; the first is ``rootlet`` itself."""
    return list(_walk((), rootlet))


def _walk(path: Path, command: click.Command) -> Iterator[tuple[Path, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from _walk((*path, name), found)


def examples(command: click.Command) -> list[list[str]]:
    """The command lines that its help prints, as a shell would split them: continued lines joined, comments left out."""
    text = inspect.cleandoc(command.help or "") + "\n" + inspect.cleandoc(command.epilog or "")
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    joined: list[str] = []
    for line in lines:
        if re.match(r"\s+rootlet |\s*rootlet ", line):
            joined.append(line)
        elif joined and joined[-1].count("'") % 2:
            joined[-1] += " " + line.strip()  # a quoted argument goes on
    return [_shell(line) for line in joined]


def _shell(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    for number, word in enumerate(words):
        if word in (">", "|"):
            return words[:number]
    return words
