"""Writes the pages that are made of the code: docs/cli.md of the commands, docs/configuration.md of the schema, and
docs/troubleshooting.md of the fault words.

``make docs`` runs it; a test fails where a page is not what it would write.
"""

import inspect
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rich_click as click
from rootlet.cli.main import PANELS, rootlet

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "firmware" / "leaf" / "config_schema.json"
HINTS = ROOT / "firmware" / "leaf" / "faults.txt"
FAULTS = ROOT / "tools" / "faults.toml"
WIDTH = 125
MADE = "<!-- Made by tools/docs.py (make docs). Do not edit: change the help texts, or the schema and its texts there. -->"
MADE_OF_FAULTS = "<!-- Made by tools/docs.py (make docs). Do not edit: change tools/faults.toml, or faults.txt. -->"

KEYS = {
    "endpoint": "The account's device endpoint: `rootlet cloud endpoint` prints it.",
    "port": "The endpoint's port for MQTT.",
    "client_id": "The MQTT client ID. A policy made by `cloud register` allows the thing name only.",
    "application": "The second level of every topic, as in `dt/leaf/...`. Policies name it.",
    "keep_alive": "Seconds of MQTT's keep-alive; the bounds are AWS IoT's.",
    "wifi": "Networks, tried in order, with the key `password` left out for an open one. Without any, the application "
    "brings up the link.",
    "wifi_timeout": "Seconds to wait for each network.",
    "wifi_power_saving": "Whether the radio sleeps: less current, up to some 300 ms more latency.",
    "ntp": "Time servers, asked when the clock cannot be right, and once a day.",
    "connect_timeout": "Seconds for TCP, and again for the TLS handshake with CONNECT.",
    "watchdog": "Seconds after which the hardware watchdog resets a board that hangs; 0 turns it off.",
    "outbox_ram": "Bytes of readings in RAM.",
    "outbox_flash": "Bytes of readings in flash, in whole blocks of 4 KiB.",
    "presence": "Whether to subscribe to AWS IoT's lifecycle events, which say who took the connection; the policy must "
    "allow it.",
    "wifi[].ssid": "The network's name.",
    "wifi[].password": "Its password (WPA2 or WPA3). It is never shown.",
}
"""What each key is for. Its type and bounds stand in the schema alone."""


CLI_INTRODUCTION = """\
```console
$ rootlet image build --help
…
```

Every command prints its section of this page with `--help`.

| exit code | when |
| --- | --- |
| 0 | the command is done |
| 1 | the command failed, or a check found something wrong |
| 2 | the input is wrong; nothing was done |

Errors go to stderr as `error:` and `hint:`. `--json` changes only what goes to stdout."""

CONFIGURATION = """\
# config.json

{made}

```json
{{
  "endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com",
  "wifi": [{{"ssid": "shed", "password": "correct horse"}}]
}}
```

`rootlet image build --config config.json` checks the file and puts it into the image; for a running sandbox none is needed.
The device checks it again when it boots, by the same schema (`firmware/leaf/config_schema.json`). An unknown key is refused.
`rootlet push my_app/ --config config.json` replaces it on a running board.

| key | type | default | what |
| --- | --- | --- | --- |
{rows}

The file `/state/config.json` on the device overrides these values, key by key: `leaf.config.override(values)` writes it,
after it has checked the whole by the same rules.
"""

TROUBLESHOOTING = """\
# Troubleshooting: what a fault word means

{made_of_faults}

```
34511 fault: wifi-password: shed refused the password; correct the network's password in config.json
```

A device that cannot go on says why in one line: milliseconds since boot, a fault word, what was seen, and what to do. Find
the word below. `rootlet monitor` shows the log of a board, `rootlet emulate` that of a virtual one. After an outage the
device reports the words, and how often each occurred, to `dt/<application>/<thing>/faults`.

Retrying is the device's own task: it waits between 1 s and 60 s, with jitter, and needs nobody. To ask from the cloud's side
why a device is not let in, use `rootlet device explain devices/NAME`.

| where it happens | words |
| --- | --- |
{index}

{words}
"""


def cli_page() -> str:
    """docs/cli.md."""
    parts = [
        "# The command line",
        MADE,
        CLI_INTRODUCTION,
    ]
    context = click.RichContext(rootlet, info_name="rootlet")
    for panel, commands in PANELS.items():
        parts.append(f"## {panel}")
        for name in commands:
            command = rootlet.get_command(context, name)
            assert command
            parts += _command(("rootlet", name), command)
    return "\n\n".join(parts) + "\n"


def configuration_page() -> str:
    """docs/configuration.md."""
    schema = json.loads(SCHEMA.read_text())
    rows = [f"| `{key}` | {_kind(rule)} | {_default(rule)} | {KEYS[key]} |" for key, rule in _keys(schema, "")]
    return CONFIGURATION.format(made=MADE, rows="\n".join(rows))


def troubleshooting_page() -> str:
    """docs/troubleshooting.md."""
    hints = dict(line.split(": ", 1) for line in HINTS.read_text().splitlines())
    faults = tomllib.loads(FAULTS.read_text())
    groups = dict.fromkeys(entry["group"] for entry in faults.values())
    index, words = [], []
    for group in groups:
        names = [word for word, entry in faults.items() if entry["group"] == group]
        index.append(f"| {group} | {', '.join(f'[`{word}`](#{word})' for word in names)} |")
        words.append(f"## {group}")
        words += [text for word in names for text in _fault(word, faults[word], hints[word])]
    return TROUBLESHOOTING.format(made_of_faults=MADE_OF_FAULTS, index="\n".join(index), words="\n\n".join(words))


def _fault(word: str, entry: dict[str, Any], hint: str) -> Iterator[str]:
    yield f"### {word}"
    yield f"```\nfault: {word}: {entry['seen']}; {hint}\n```"
    yield _filled(entry["why"])
    yield "\n".join(_filled(step, "- ") for step in entry["do"])


def _filled(text: str, bullet: str = "") -> str:
    """As lines of the pages' width. Links and code are not broken within a word."""
    wrap = textwrap.TextWrapper(
        width=WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrap.fill(text)


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.RichContext(command, info_name=" ".join(path))
    yield f"{'#' * (len(path) + 1)} {' '.join(path)}"
    yield from _text(command.help)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from _command((*path, name), found)
        return
    yield f"```\n{' '.join([*path, *command.collect_usage_pieces(context)])}\n```"
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        yield "\n".join(["| option | what |", "| --- | --- |", *map(_option, options)])
    yield from _text(command.epilog)


def _text(text: str | None) -> Iterator[str]:
    """Paragraphs as they are; what is to be kept line by line becomes a block."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        before, *verbatim = (paragraph + "\n").split("\b\n")
        if before.strip():
            yield _escaped(before.strip())
        for block in verbatim:
            title, _, lines = block.strip("\n").partition("\n")
            if not lines:
                yield _escaped(title)
            elif title.endswith(":"):
                yield f"{title}\n\n```\n{inspect.cleandoc(lines)}\n```"
            else:
                yield f"```\n{inspect.cleandoc(block)}\n```"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    what = "" if option.is_flag else f" {_metavar(option)}"
    default = option.default if option.show_default and not callable(option.default) else None
    shown = f" [default: {str(default).removesuffix('.0')}]" if default not in (None, ()) else ""
    needed = " [required]" if option.required else ""
    return f"| {names}{what} | {_escaped(option.help or '')}{_escaped(shown)}{needed} |"


def _metavar(option: click.Option) -> str:
    if option.metavar:
        return option.metavar.replace("|", "\\|")
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return option.type.name.upper().replace(" RANGE", "")


def _escaped(text: str) -> str:
    return re.sub(r"([|<])", r"\\\1", text)


def _keys(schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, rule in schema.items():
        yield prefix + key, rule
        inner = rule.get("items", {}).get("keys")
        if inner:
            yield from _keys(inner, f"{prefix}{key}[].")


def _kind(rule: dict[str, Any]) -> str:
    low, high = rule.get("min"), rule.get("max")
    also = "".join(f"{value} or " for value in rule.get("also", ()))
    if rule["type"] == "bool":
        return "true or false"
    if rule["type"] == "int":
        return f"{also}{low} to {high}"
    if rule["type"] == "list":
        return f"list, up to {high}"
    letters = ""
    if "chars" in rule:
        letters = " of letters, digits and " + " ".join(f"`{c}`" for c in rule["chars"] if not c.isalnum())
    return f"{low} to {high} characters{letters}"


def _default(rule: dict[str, Any]) -> str:
    if rule.get("required"):
        return "required"
    if "default" not in rule:
        return "none"
    value = rule["default"]
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return json.dumps(value).strip('"')


PAGES = {"cli.md": cli_page, "configuration.md": configuration_page, "troubleshooting.md": troubleshooting_page}


def main() -> None:
    for name, page in PAGES.items():
        (ROOT / "docs" / name).write_text(page())


if __name__ == "__main__":
    main()
