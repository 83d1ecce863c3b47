"""A policy document, read and checked for form (IAM: grammar of the JSON policy language; AWS IoT takes a part of it)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rootlet.errors import BadInput
from rootlet.policies import conditions

MAX_CHARACTERS = 2048
"""Of one document, white space not counted (AWS IoT Core: device management limits)."""

_KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}


@dataclass(frozen=True)
class Statement:
    """``number`` counts from 1; ``actions`` and ``resources`` are those that it names, or (``not_…``) all but them."""

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


def parse(name: str, document: str | Mapping[str, Any]) -> Policy:
    """The policy ``name``. Raises BadInput for what AWS would refuse as malformed."""
    if isinstance(document, str):
        document = load(name, document)
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise _malformed(name, "has no Statement")
    if document.get("Version", "2012-10-17") not in ("2012-10-17", "2008-10-17"):
        raise _malformed(name, f"has the unknown Version {document['Version']!r}")
    given = document["Statement"]
    statements = given if isinstance(given, list) else [given]
    return Policy(name, tuple(_statement(name, number, entry) for number, entry in enumerate(statements, 1)))


def load(name: str, text: str) -> Any:
    """The JSON of the policy ``name``. Raises BadInput."""
    try:
        return json.loads(text)
    except RecursionError:
        raise BadInput(f"policy {name} is nested too deeply", hint="correct it") from None
    except ValueError as error:
        raise BadInput(f"policy {name} is no JSON: {error}", hint="correct it") from None


def characters(document: Mapping[str, Any]) -> int:
    """The document's size as AWS IoT counts it."""
    return len("".join(json.dumps(document, ensure_ascii=False, separators=(",", ":")).split()))


def _statement(name: str, number: int, entry: Any) -> Statement:
    where = f"in statement {number} has"
    if not isinstance(entry, Mapping):
        raise _malformed(name, f"{where} no object")
    if unknown := set(entry) - _KEYS:
        raise _malformed(name, f"{where} the unknown element {min(unknown)!r}")
    if entry.get("Effect") not in ("Allow", "Deny"):
        raise _malformed(name, f"{where} no Effect that is Allow or Deny")
    actions, not_actions = _one_of(name, where, entry, "Action")
    resources, not_resources = _one_of(name, where, entry, "Resource")
    return Statement(
        number,
        str(entry.get("Sid", "")),
        entry["Effect"],
        actions,
        resources,
        not_actions,
        not_resources,
        _conditions(name, where, entry.get("Condition", {})),
    )


def _one_of(name: str, where: str, entry: Mapping[str, Any], key: str) -> tuple[tuple[str, ...], bool]:
    if (key in entry) == (f"Not{key}" in entry):
        raise _malformed(name, f"{where} not exactly one of {key} and Not{key}")
    values = entry.get(key, entry.get(f"Not{key}"))
    values = [values] if isinstance(values, str) else values
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise _malformed(name, f"{where} no text in {key}")
    return tuple(values), key not in entry


def _conditions(name: str, where: str, given: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    if not isinstance(given, Mapping):
        raise _malformed(name, f"{where} a Condition that is no object")
    result: dict[str, dict[str, tuple[str, ...]]] = {}
    for operator, keys in given.items():
        if not conditions.is_operator(operator) or not isinstance(keys, Mapping):
            raise _malformed(name, f"{where} the unknown condition operator {operator!r}")
        result[operator] = {key: _values(value) for key, value in keys.items()}
    return result


def _values(given: Any) -> tuple[str, ...]:
    values = given if isinstance(given, list) else [given]
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _malformed(name: str, what: str) -> BadInput:
    return BadInput(f"policy {name} {what}", hint="see AWS IoT Core policies in AWS's developer guide")
