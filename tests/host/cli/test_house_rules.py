"""The rules of docs/architecture.md and of our words, held against every command and every refusal."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest
import rich_click as click
from rootlet import resources
from rootlet.cli import panels
from rootlet.cli.main import COMMANDS, rootlet
from support.commands import every_command, examples

HOST = resources.FIRMWARE.parent / "host_tools" / "rootlet"
LONGEST_SENTENCE = 60

SEVERAL_TEXTS = {
    "--app": "an application: to register for, to build, to qualify",
    "--chip": "a chip: of which type it is, or that one is emulated",
    "--config": "a config.json: for an image, for a running board, for an application under test",
    "--count": "how many of --pattern; of a batch it replaces the file",
    "--customer": "whose devices they are: of a policy with its application, of a batch by name",
    "--device": "a directory with an identity: in an image, alone, on a board",
    "--hostname": "the name that the server's certificate must hold: of a file, of our own endpoint",
    "--html": "write a page: of the chain, of the cases",
    "--image": "a flash image: to read, to burn, to boot",
    "--journal": "where progress is kept: beside a directory, beside a manifest",
    "--key-type": "a CA has more types to choose from",
    "--listen": "where a server of ours listens: the page, the advisor's endpoint",
    "--mqtt-port": "a port of MQTT: to prove at, to serve at",
    "--once": "one round and no more: of decisions, of boards",
    "--output": "what is written: a certificate, a directory, an image",
    "--policy": "an existing policy to attach: one, or several",
    "--policy-file": "a policy's document: to decide by, to judge",
    "--port": "a serial port: by esptool's names, by pyserial's, or a pattern of several",
    "--root": "a root to trust: by name, by file, or either",
    "--service": "a service of the device: to render alone, to allow beside",
    "--state-dir": "where a server keeps its keys: the sandbox, the advisor's endpoint",
    "--suite": "the advisor's cases: to list, to run",
    "--timeout": "seconds to wait: for an answer, for a board's first PUBACK",
    "--thing": "a thing's name: to become, to expect, to confirm, to print",
}
"""Options whose texts differ from command to command, and the one meaning that they all have."""

ALL = every_command()
IDS = [" ".join(path) or "rootlet" for path, _ in ALL]


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_a_list_shows_a_command_in_one_whole_sentence(path: tuple[str, ...], command: click.Command) -> None:
    sentence = panels.first_sentence(command.help or "")
    assert sentence, "has no help"
    assert len(sentence) <= LONGEST_SENTENCE
    assert command.short_help == sentence
    if len(path) == 1:
        assert COMMANDS[path[0]][1] == sentence, "the list of `rootlet --help` says something else"


def test_no_list_cuts_a_sentence_off() -> None:
    for path, command in ALL:
        if isinstance(command, click.Group):
            context = click.RichContext(command, info_name=" ".join(("rootlet", *path)))
            shown = " ".join(command.get_help(context).replace("│", " ").split())
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found
                assert f"{name} {found.short_help}" in shown, f"rootlet {' '.join(path)} --help"


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_every_option_says_what_it_is_for(path: tuple[str, ...], command: click.Command) -> None:
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.opts[0]} has no help"


@pytest.mark.parametrize(("path", "command"), ALL, ids=IDS)
def test_examples_are_commands_that_exist_with_options_that_they_have(path: tuple[str, ...], command: click.Command) -> None:
    for words in examples(command):
        assert words[0] == "rootlet"
        context: click.Context | None = None
        current: click.Command = rootlet
        arguments = words[1:]
        while isinstance(current, click.Group):
            found = current.get_command(click.Context(current), arguments[0])
            assert found, f"{' '.join(words)}: there is no command {arguments[0]}"
            current, arguments = found, arguments[1:]
        context = current.make_context(current.name, list(arguments), resilient_parsing=False)
        context.close()


def test_leaf_commands_have_examples() -> None:
    assert [" ".join(path) for path, command in ALL if not isinstance(command, click.Group) and not examples(command)] == []


def test_one_option_name_has_one_meaning() -> None:
    seen: dict[str, dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, command in ALL:
        for option in command.params:
            if isinstance(option, click.Option):
                choices = tuple(option.type.choices) if isinstance(option.type, click.Choice) else ()
                kind = (option.help, option.is_flag, type(option.type), choices)
                for name in (name for name in option.opts if name.startswith("--")):
                    seen[name][kind].append(" ".join(path))
    several = {name: dict(kinds) for name, kinds in seen.items() if len(kinds) > 1}
    assert {name: kinds for name, kinds in several.items() if name not in SEVERAL_TEXTS} == {}
    assert SEVERAL_TEXTS.keys() - several.keys() == set(), "these have one text now: take them from the table"


def refusals(source: Path) -> list[tuple[int, str]]:
    """The refusals in a file that have no hint, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("RootletError", "BadInput"):
            hints = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
            empty = [hint for hint in hints if isinstance(hint, ast.Constant) and not hint.value]
            if not hints or empty:
                found.append((node.lineno, ast.unparse(node)[:80]))
    return found


def test_every_refusal_has_a_hint() -> None:
    lacking: dict[str, list[tuple[int, str]]] = {}
    for source in sorted(HOST.rglob("*.py")):
        if found := refusals(source):
            lacking[str(source.relative_to(HOST))] = found
    assert lacking == {}
