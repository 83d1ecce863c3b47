"""A policy document, parsed and checked (IAM: grammar of the JSON policy language, of which AWS IoT supports a part)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rootlet.errors import BadInput
from rootlet.policies import conditions, patterns

MAX_CHARACTERS = 2048
"""The longest document, white space not counted (AWS IoT Core: device management limits)."""

CURRENT, OLD = "2012-10-17", "2008-10-17"
"""The versions of the policy language. A document that names none has the old one, where variables are plain text (IAM:
Version)."""

_KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@dataclass(frozen=True)
class Statement:
    """One statement. ``number`` counts from 1. ``actions`` and ``resources`` apply, or (``not_…``) all others do."""

    number: int
    sid: str
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_actions: bool = False
    not_resources: bool = False
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"statement {self.number}" + (f" ({self.sid})" if self.sid else "")


@dataclass(frozen=True)
class Policy:
    name: str
    statements: tuple[Statement, ...]
    version: str = CURRENT


def parse(name: str, document: str | Mapping[str, Any]) -> Policy:
    """The policy ``name``, parsed. Raises BadInput where AWS would refuse it as malformed."""
    if isinstance(document, str):
        document = load(name, document)
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise _malformed(f"policy {name} has no Statement")
    version = document.get("Version", OLD)
    if version not in (CURRENT, OLD):
        raise _malformed(f"policy {name} has the unknown Version {version!r}")
    given = document["Statement"]
    statements = given if isinstance(given, list) else [given]
    read = str if version == CURRENT else patterns.literal
    return Policy(name, tuple(_statement(name, number, entry, read) for number, entry in enumerate(statements, 1)), version)


def load(name: str, text: str) -> Any:
    """The JSON of the policy ``name``. Raises BadInput."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BadInput(f"policy {name} is nested too deeply", hint="correct the document") from None
    except json.JSONDecodeError as error:
        raise BadInput(
            f"policy {name} is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}",
            hint="correct the document",
        ) from None


def characters(document: Mapping[str, Any]) -> int:
    """The document's size, as AWS IoT counts it."""
    return len("".join(json.dumps(document, ensure_ascii=False, separators=(",", ":")).split()))


def _statement(name: str, number: int, entry: Any, read: Callable[[str], str]) -> Statement:
    """``read`` makes a pattern (``policies.patterns``) of a text in the document."""
    where = f"policy {name}, statement {number}"
    if not isinstance(entry, Mapping):
        raise _malformed(f"{where} is not an object")
    if unknown := set(entry) - _KEYS:
        raise _malformed(f"{where} has the unknown element {min(unknown)!r}")
    if entry.get("Effect") not in ("Allow", "Deny"):
        raise _malformed(f"{where} has no Effect that is Allow or Deny")
    actions, not_actions = _one_of(where, entry, "Action")
    resources, not_resources = _one_of(where, entry, "Resource")
    return Statement(
        number,
        str(entry.get("Sid", "")),
        entry["Effect"],
        actions,
        tuple(map(read, resources)),
        not_actions,
        not_resources,
        _conditions(where, entry.get("Condition", {}), read),
    )


def _one_of(where: str, entry: Mapping[str, Any], key: str) -> tuple[tuple[str, ...], bool]:
    if (key in entry) == (f"Not{key}" in entry):
        raise _malformed(f"{where} does not have exactly one of {key} and Not{key}")
    values = entry.get(key, entry.get(f"Not{key}"))
    values = [values] if isinstance(values, str) else values
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise _malformed(f"{where} has no text in {key}")
    return tuple(values), key not in entry


def _conditions(where: str, given: Any, read: Callable[[str], str]) -> dict[str, dict[str, tuple[str, ...]]]:
    if not isinstance(given, Mapping):
        raise _malformed(f"{where} has a Condition that is not an object")
    result: dict[str, dict[str, tuple[str, ...]]] = {}
    for operator, keys in given.items():
        if not conditions.is_operator(operator) or not isinstance(keys, Mapping):
            raise _malformed(f"{where} has the unknown condition operator {operator!r}")
        result[operator] = {key: tuple(map(read, _values(value))) for key, value in keys.items()}
    return result


def _values(given: Any) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _malformed(what: str) -> BadInput:
    return BadInput(what, hint="see AWS IoT Core policies in AWS's developer guide")
