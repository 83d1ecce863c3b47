"""Texts of a policy with variables and wildcards in them."""

import re
from functools import lru_cache

from rootlet.policies.variables import Variables

VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_FIXED = ("*", "?", "$")
"""``${*}`` and the like stand for the characters themselves (IAM: policy variables)."""


def names(text: str) -> list[str]:
    """The variables that ``text`` uses."""
    return [name for name in VARIABLE.findall(text) if name not in _FIXED]


def resolved(text: str, variables: Variables) -> str:
    """``text`` with values in it. A variable without a value stays as it is, as AWS IoT leaves it."""
    return VARIABLE.sub(lambda match: _value(match, variables), text)


def matches(pattern: str, value: str, variables: Variables) -> bool:
    """Whether ``value`` fits ``pattern``: * any characters, ? any one. In a variable's value neither is a wildcard."""
    parts, end = [], 0
    for match in VARIABLE.finditer(pattern):
        parts += [_wild(pattern[end : match.start()]), re.escape(_value(match, variables))]
        end = match.end()
    parts.append(_wild(pattern[end:]))
    return _compiled("".join(parts)).fullmatch(value) is not None


def _value(match: re.Match[str], variables: Variables) -> str:
    name = match.group(1)
    if name in _FIXED:
        return name
    value = variables.first(name)
    return match.group(0) if value is None else value


@lru_cache(maxsize=4096)
def _wild(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL)
