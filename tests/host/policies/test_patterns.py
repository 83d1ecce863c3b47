"""Wildcards in policies."""

import pytest
from rootlet.errors import BadInput
from rootlet.policies import conditions, document, patterns
from rootlet.policies.variables import Variables


def test_many_asterisks_are_decided_at_once() -> None:
    # Without atomic groups the search backtracks for ages, and the sandbox stands still meanwhile.
    assert not patterns.matches("*a" * 100 + "b", "a" * 1000, Variables())
    assert patterns.matches("*a" * 100 + "*b", "a" * 1000 + "b", Variables())


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [("a*ab", "aab", True), ("a*b?c", "abbxbyc", True), ("*", "", True), ("a**b", "ab", True), ("a*a", "a", False)],
)
def test_an_asterisk_gives_way_to_what_follows(pattern: str, value: str, fits: bool) -> None:
    assert patterns.matches(pattern, value, Variables()) is fits


def test_an_asterisk_from_a_variable_is_no_wildcard() -> None:
    assert not patterns.matches("a/${iot:ClientId}/*", "a/x/b", Variables({"iot:ClientId": ["*"]}))
    assert patterns.matches("*/${iot:ClientId}/*", "a/x/b", Variables({"iot:ClientId": ["x"]}))


def test_a_policy_nested_too_deeply_is_refused() -> None:
    with pytest.raises(BadInput, match="nested too deeply"):
        document.parse("p", "[" * 200_000)


def test_a_date_beyond_all_calendars_does_not_hold() -> None:
    variables = Variables({"iot:ClientId": ["9" * 30]})
    assert conditions.unmet({"DateLessThan": {"iot:ClientId": ["2026-01-01"]}}, variables)
