"""Checks a device's ``config.json`` when the image is built, by the schema that the device itself boots with.

``firmware/leaf/config_schema.json`` is the one place of the rules; ``leaf/config.py`` reads the same file on the board.
A rule has ``type`` (str, int, bool, list, dict) and may have ``required``, ``default``, ``min`` and ``max`` (the value of a
number, the length of the rest), ``chars`` (the characters a string may have), ``items`` (a list's), ``keys`` (a dict's)
and ``secret`` (the value is never shown).
"""

import json
import re
from pathlib import Path
from typing import Any

from rootlet import resources
from rootlet.errors import BadInput
from rootlet.files import read_input

_TYPES: dict[str, type[Any]] = {"str": str, "int": int, "bool": bool, "list": list, "dict": dict}
_SECRET_NAME = re.compile("pass|secret|token|psk|private", re.IGNORECASE)
_SHOWN = 40  # characters of a value in an error


def load_schema() -> dict[str, Any]:
    """The schema that goes onto the board."""
    schema: dict[str, Any] = json.loads((resources.FIRMWARE / "leaf" / "config_schema.json").read_text())
    return schema


def load_config(path: Path) -> dict[str, Any]:
    """Read and check a configuration. Raises BadInput that names key, value and rule."""
    try:
        document = json.loads(read_input(path, "configuration"))
    except ValueError as error:
        raise BadInput(f"{path} is not valid JSON: {error}", hint="correct the file") from None
    if problem := check(document, load_schema()):
        raise BadInput(f"{path}: {problem}", hint="correct the file; docs/configuration.md lists the keys")
    assert isinstance(document, dict)
    return document


def check(document: object, schema: dict[str, Any]) -> str | None:
    """The first thing wrong with ``document``, in one line; None where nothing is."""
    if not isinstance(document, dict):
        return f"is {_show(document, {})}; must be an object"
    return _check_keys(document, schema, "")


def _check_keys(table: dict[str, Any], keys: dict[str, Any], prefix: str) -> str | None:
    for key in table:
        if key not in keys:
            return f"{prefix}{key} is not a known key; known are {', '.join(sorted(keys))}"
    for key in sorted(keys):
        rule = keys[key]
        if key not in table:
            if rule.get("required"):
                return f"{prefix}{key} is missing; it is required"
            continue
        if problem := _check_value(table[key], rule, prefix + key):
            return problem
    return None


def _check_value(value: Any, rule: dict[str, Any], name: str) -> str | None:
    shown = f"{name} is {_show(value, rule)}"
    kind: Any = _TYPES[rule["type"]]
    if type(value) is not kind:  # not isinstance: to Python, true is an int
        return f"{shown}; must be of type {rule['type']}"
    if value in rule.get("also", ()):
        return None
    if problem := _check_size(value, rule):
        return f"{shown}; {problem}"
    if "chars" in rule:
        for character in value:
            if character not in rule["chars"]:
                return f"{shown}; must not contain {json.dumps(character, ensure_ascii=False)}"
    if "items" in rule:
        for number, item in enumerate(value):
            if problem := _check_value(item, rule["items"], f"{name}[{number}]"):
                return problem
    if "keys" in rule:
        return _check_keys(value, rule["keys"], name + ".")
    return None


def _check_size(value: Any, rule: dict[str, Any]) -> str | None:
    size, noun = (value, "") if isinstance(value, int) else (len(value), "length ")
    if "min" in rule and size < rule["min"]:
        also = "".join(f"{value}, or " for value in rule.get("also", ()))
        return f"{noun}must be {also}at least {rule['min']}"
    if "max" in rule and size > rule["max"]:
        return f"{noun}must be at most {rule['max']}"
    return None


def redact(value: Any, rules: dict[str, Any] | None = None) -> Any:
    """A copy that can be shown: what the schema calls secret, and what is named like a secret, is left out."""
    if isinstance(value, list):
        return [redact(item, rules) for item in value]
    if not isinstance(value, dict):
        return value
    rules = load_schema() if rules is None else rules
    shown = {}
    for key, item in value.items():
        rule = rules.get(key, {})
        if rule.get("secret") or _SECRET_NAME.search(key):
            shown[key] = "(not shown)"
        else:
            shown[key] = redact(item, rule.get("keys") or rule.get("items", {}).get("keys") or {})
    return shown


def _show(value: object, rule: dict[str, Any]) -> str:
    if rule.get("secret"):
        return "(not shown)"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return json.dumps(value, ensure_ascii=False)[:_SHOWN]
