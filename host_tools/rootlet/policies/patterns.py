"""Variables and wildcards in the texts of a policy."""

import re
from functools import lru_cache

from rootlet.policies.variables import Variables

VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_FIXED = ("*", "?", "$")
"""``${*}`` and the like stand for the characters themselves (IAM: policy variables)."""


def names(text: str) -> list[str]:
    """The variables that ``text`` uses."""
    return [name for name in VARIABLE.findall(text) if name not in _FIXED]


def literal(text: str) -> str:
    """The pattern in which no variable of ``text`` is one: Version 2008-10-17 of the policy language has none."""
    return text.replace("${", "${$}{")


def shown(pattern: str) -> str:
    """The text that ``literal`` made the pattern of."""
    return pattern.replace("${$}{", "${")


def resolved(text: str, variables: Variables) -> str:
    """``text`` with variables replaced. A variable without a value stays as it is, as in AWS IoT."""
    return VARIABLE.sub(lambda match: _value(match, variables), text)


def has_wildcard(pattern: str) -> bool:
    """Whether there is a * or ? outside of its variables."""
    return bool(set("*?") & set(VARIABLE.sub("", pattern)))


def example(pattern: str, variables: Variables, star: str) -> str:
    """A text that matches ``pattern``, with ``star`` for each asterisk."""
    parts, end = [], 0
    for match in VARIABLE.finditer(pattern):
        parts += [_filled(pattern[end : match.start()], star), _value(match, variables)]
        end = match.end()
    return "".join([*parts, _filled(pattern[end:], star)])


def _filled(text: str, star: str) -> str:
    return text.replace("*", star).replace("?", "0")


def matches(pattern: str, value: str, variables: Variables) -> bool:
    """Whether ``value`` matches ``pattern``: * any characters, ? any one. Neither is a wildcard in a variable's value."""
    pieces, end = [""], 0
    for match in VARIABLE.finditer(pattern):
        _extend(pieces, pattern[end : match.start()])
        pieces[-1] += re.escape(_value(match, variables))
        end = match.end()
    _extend(pieces, pattern[end:])
    return _compiled(tuple(pieces)).fullmatch(value) is not None


def _extend(pieces: list[str], text: str) -> None:
    first, *others = (re.escape(part).replace(r"\?", ".") for part in text.split("*"))
    pieces[-1] += first
    pieces += others


def _value(match: re.Match[str], variables: Variables) -> str:
    name = match.group(1)
    if name in _FIXED:
        return name
    value = variables.first(name)
    return match.group(0) if value is None else value


@lru_cache(maxsize=4096)
def _compiled(pieces: tuple[str, ...]) -> re.Pattern[str]:
    """Whether the texts between asterisks occur in order. Each is taken at its first match: this runs in linear time."""
    first, *middle = pieces
    last = f".*{middle.pop()}" if middle else ""
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + last, re.DOTALL)
