"""Mutants of ``leaf``: that all of them apply to the code as it is, and that a few die. All: ``make mutants``."""

from dataclasses import replace
from pathlib import Path

import pytest
from rootlet import resources

from campaign.mutants import run
from campaign.mutants.catalogue import MUTANTS
from campaign.mutants.mutant import DoesNotApply, Mutant, sources

LEAF = resources.FIRMWARE / "leaf"
SLICE = ("no jitter", "a job that has ended is run again")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_and_its_tests_are_there(mutant: Mutant) -> None:
    mutant.of(sources(LEAF))
    assert mutant.missing_tests() == []


def test_there_are_forty_mutants_and_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40


SOUND = Mutant("sound", r"^x = 1$", "x = 2", ())


@pytest.mark.parametrize(
    ("mutant", "source", "words"),
    [
        (SOUND, "y = 1\n", "found nowhere"),
        (SOUND, "x = 1\nx = 1\n", "found 2 times: a.py, a.py"),
        (replace(SOUND, replacement="x = 1"), "x = 1\n", "changes nothing"),
        (replace(SOUND, replacement="x ="), "x = 1\n", "is not Python any more"),
    ],
)
def test_a_mutant_that_does_not_apply_says_so(mutant: Mutant, source: str, words: str) -> None:
    with pytest.raises(DoesNotApply, match=words):
        mutant.of({"a.py": source})


def test_a_mutant_follows_its_code_into_another_file() -> None:
    assert SOUND.of({"a.py": "y = 1\n", "services/b.py": "x = 1\n"}) == ("services/b.py", "x = 2\n")


def test_a_test_that_is_gone_is_named() -> None:
    gone = "firmware/test_rules.py::test_nothing_of_the_kind"
    assert replace(SOUND, tests=(gone, "no_such_file.py::test_a")).missing_tests() == [gone, "no_such_file.py::test_a"]


def test_some_mutants_die_and_a_harmless_change_survives() -> None:
    """A harmless change survives, so that it is the defect that kills; its own tests must have run for that."""
    chosen = [mutant for mutant in MUTANTS if mutant.name in SLICE]
    jitter = next(mutant for mutant in chosen if mutant.name == "no jitter")
    harmless = replace(jitter, name="harmless", pattern=r"^def delay\(", replacement="# harmless\ndef delay(")
    fates = list(run.run([*chosen, harmless], workers=1))
    assert [fate.mutant.name for fate in fates if not fate.killer] == ["harmless"]


def test_tests_that_fail_without_a_mutant_judge_nothing(tmp_path: Path) -> None:
    checkout = run.Checkout(tmp_path)
    (tmp_path / "tests" / "firmware" / "test_rules.py").write_text("def test_a():\n    assert False\n")
    with pytest.raises(run.CannotJudge, match="even unmutated"):
        checkout.check(["firmware/test_rules.py"])
