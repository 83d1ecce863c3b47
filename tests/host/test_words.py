"""A number of things is said in one way: no "1 boards", no "identitys"."""

import pytest
from rootlet.words import are, number_of


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(0, "board", "0 boards"), (1, "board", "1 board"), (2, "identity", "2 identities"), (3, "day", "3 days")],
)
def test_a_noun_agrees_with_its_number(count: int, noun: str, said: str) -> None:
    assert number_of(count, noun) == said


def test_the_verb_agrees_too() -> None:
    assert (are(0), are(1), are(2, "was", "were")) == ("are", "is", "were")
