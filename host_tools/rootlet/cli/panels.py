"""How help looks: panels by rich-click, one sentence a command in a list, examples exactly as they are typed."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import rich_click as click
from rich.padding import Padding
from rich.text import Text

_VERBATIM = "\b\n"
"""What a paragraph begins with whose lines are kept (click's mark)."""


class Command(click.RichCommand):
    """A command whose help keeps its examples as they are."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.short_help = self.short_help or first_sentence(self.help or "")

    def format_help_text(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]  # noqa: ARG002
        _write(formatter, self.help)

    def format_epilog(self, ctx: click.RichContext, formatter: click.RichHelpFormatter) -> None:  # type: ignore[override]  # noqa: ARG002
        _write(formatter, self.epilog)


class Group(Command, click.RichGroup):  # type: ignore[misc]  # as rich-click itself has it
    """A group of such commands."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)  # as they are defined: in the order in which they are used


def command(**options: Any) -> Callable[[Callable[..., Any]], Command]:
    """``click.command`` for such a command."""
    return click.command(cls=Command, **options)


def group(**options: Any) -> Callable[[Callable[..., Any]], Group]:
    """``click.group`` for such a group."""
    return click.group(**{"cls": Group} | options)


def arrange(command: Group, named: dict[str, list[str]]) -> None:
    """Show a group's commands in panels: the names of each panel's commands, in order."""
    for name, commands in named.items():
        command.add_panel(click.RichCommandPanel(name, commands=commands))


def arrange_options(command: click.RichCommand, named: dict[str, list[str]]) -> None:
    """Show some of a command's options in panels of their own; the rest stay under Options."""
    for name, options in named.items():
        command.add_panel(click.RichOptionPanel(name, options=options))


def first_sentence(text: str) -> str:
    """What a list shows of a command: the first sentence of its help, without the full stop."""
    first = inspect.cleandoc(text).split("\n\n")[0].replace("\n", " ")
    return re.split(r"\.(?:\s|$)", first, maxsplit=1)[0]


def _write(formatter: click.RichHelpFormatter, text: str | None) -> None:
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        for verbatim, part in _parts(paragraph):
            # A line to be copied is never broken, whatever the width of the terminal.
            formatter.write(Padding(Text(part), (0, 1), expand=False) if not verbatim else Text(_indented(part)),
                            soft_wrap=verbatim)  # fmt: skip
        formatter.write()


def _parts(paragraph: str) -> list[tuple[bool, str]]:
    """A paragraph's parts, and whether their lines are kept."""
    before, *verbatim = (paragraph + "\n").split(_VERBATIM)
    parts = [(False, before.replace("\n", " ").strip())] if before.strip() else []
    return parts + [(True, part.rstrip("\n")) for part in verbatim if part.strip()]


def _indented(text: str) -> str:
    return "\n".join(f" {line}" for line in text.split("\n"))
