"""A statement's conditions (IAM: condition operators; operators with multiple context keys or values)."""

import datetime as dt
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping, Sequence

from rootlet.policies import patterns
from rootlet.policies.variables import Variables

_COLON = re.compile(r":(?![^{}]*\})")
"""A colon that is not in a variable's name."""

_Test = Callable[[str, str, Variables], bool]


def _plain(test: Callable[[str, str], bool]) -> _Test:
    return lambda actual, expected, variables: test(actual, patterns.resolved(expected, variables))


def _like(actual: str, expected: str, variables: Variables) -> bool:
    return patterns.matches(expected, actual, variables)


def _arn(actual: str, expected: str, variables: Variables) -> bool:
    """Each of an ARN's six parts by itself: no wildcard reaches over a colon (IAM: ARN condition operators)."""
    found, wanted = actual.split(":", 5), _COLON.split(expected, maxsplit=5)
    return len(found) == len(wanted) and all(map(_like, found, wanted, [variables] * len(found)))


def _number(compare: Callable[[float, float], bool]) -> _Test:
    def test(actual: str, expected: str) -> bool:
        try:
            return compare(float(actual), float(expected))
        except ValueError:
            return False

    return _plain(test)


def _date(compare: Callable[[dt.datetime, dt.datetime], bool]) -> _Test:
    def test(actual: str, expected: str) -> bool:
        try:
            return compare(_when(actual), _when(expected))
        except (ValueError, OverflowError):
            return False

    return _plain(test)


def _when(text: str) -> dt.datetime:
    if text.isdigit():
        return dt.datetime.fromtimestamp(int(text), dt.UTC)
    parsed = dt.datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)


def _address(actual: str, expected: str) -> bool:
    try:
        return ipaddress.ip_address(actual) in ipaddress.ip_network(expected, strict=False)
    except ValueError:
        return False


_POSITIVE: dict[str, _Test] = {
    "stringequals": _plain(operator.eq),
    "stringequalsignorecase": _plain(lambda actual, expected: actual.casefold() == expected.casefold()),
    "stringlike": _like,
    "arnequals": _arn,
    "arnlike": _arn,
    "numericequals": _number(operator.eq),
    "numericlessthan": _number(operator.lt),
    "numericlessthanequals": _number(operator.le),
    "numericgreaterthan": _number(operator.gt),
    "numericgreaterthanequals": _number(operator.ge),
    "dateequals": _date(operator.eq),
    "datelessthan": _date(operator.lt),
    "datelessthanequals": _date(operator.le),
    "dategreaterthan": _date(operator.gt),
    "dategreaterthanequals": _date(operator.ge),
    "bool": _plain(lambda actual, expected: actual.lower() == expected.lower()),
    "ipaddress": _plain(_address),
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
}


def is_operator(name: str) -> bool:
    _, plain, _ = _parts(name)
    return plain in _POSITIVE or plain in _NEGATED or plain == "null"


def unmet(conditions: Mapping[str, Mapping[str, Sequence[str]]], variables: Variables) -> str:
    """The first condition that does not hold, as text; empty where all hold."""
    for name, keys in conditions.items():
        for key, expected in keys.items():
            actual = variables.get(key)
            if not _holds(name, expected, actual, variables):
                wanted = " or ".join(patterns.resolved(value, variables) for value in expected)
                return f"{name} {key}: wanted {wanted}, is {', '.join(actual) or 'absent'}"
    return ""


def _holds(name: str, expected: Sequence[str], actual: Sequence[str], variables: Variables) -> bool:
    quantity, plain, if_exists = _parts(name)
    if plain == "null":
        return (not actual) == (bool(expected) and expected[0].lower() == "true")
    negated = plain in _NEGATED
    test = _POSITIVE[_NEGATED.get(plain, plain)]

    def fits(value: str) -> bool:
        return any(test(value, wanted, variables) for wanted in expected) != negated

    if not actual:
        return if_exists or quantity == "forallvalues" or (negated and quantity != "foranyvalue")
    if quantity == "forallvalues":
        return all(map(fits, actual))
    if quantity == "foranyvalue":
        return any(map(fits, actual))
    return all(map(fits, actual)) if negated else any(map(fits, actual))


def _parts(name: str) -> tuple[str, str, bool]:
    """The quantifier (or empty), the operator, and whether it ends with IfExists; all in lower case."""
    quantity, _, plain = name.lower().rpartition(":")
    if quantity not in ("", "forallvalues", "foranyvalue"):
        return "", "", False
    return quantity, plain.removesuffix("ifexists"), plain.endswith("ifexists")
