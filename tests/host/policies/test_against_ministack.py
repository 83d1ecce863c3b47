"""The same policies decided by another hand: ministack's evaluator of IAM policies, which is written after AWS's answers."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rootlet.policies.decision import decide
from rootlet.policies.document import parse
from rootlet.policies.variables import Variables

evaluator = pytest.importorskip("ministack.core.iam_evaluator")

PREFIX = "arn:aws:iot:eu-west-1:123456789012:topic/"
WORDS = st.sampled_from(["a", "b", "A", "ab", "a/b", "b/a/b"])
PATTERNS = st.sampled_from(["a", "a*", "*", "?", "a?b", "*/b", "[ab]", "a.b", "A", "b/?/b"])
ACTIONS = st.sampled_from(["iot:Publish", "iot:publish", "iot:*", "*", "iot:Receive", "iot:P?blish", "s3:Publish"])
KEYS = st.sampled_from(["iot:one", "iot:ONE", "iot:many", "iot:absent"])
PLAIN = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase")
SETS = tuple(f"{quantity}:{name}" for quantity in ("ForAllValues", "ForAnyValue") for name in PLAIN)
OPERATORS = st.sampled_from([*PLAIN, *(f"{name}IfExists" for name in PLAIN), *SETS, "Null"])


def some(values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for _ in range(draw(st.integers(0, 2))):
        operator, key = draw(OPERATORS), draw(KEYS)
        # Of several values AWS defines the outcome for operators on sets only.
        if key == "iot:many" and not operator.startswith("For") and operator != "Null":
            key = "iot:one"
        expected = draw(st.sampled_from(["true", "false"])) if operator == "Null" else draw(some(PATTERNS))
        made.setdefault(operator, {})[key] = expected
    return made


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    resources = draw(st.lists(PATTERNS.map(lambda pattern: PREFIX + pattern), min_size=1, max_size=2))
    return {
        "Effect": draw(st.sampled_from(["Allow", "Allow", "Deny"])),
        draw(st.sampled_from(["Action", "Action", "Action", "NotAction"])): draw(some(ACTIONS)),
        draw(st.sampled_from(["Resource", "Resource", "Resource", "NotResource"])): resources,
        "Condition": draw(conditions()),
    }


def both_decide_alike(given_statements: list[list[dict[str, Any]]], topic: str, one: str) -> bool:
    documents = [json.dumps({"Version": "2012-10-17", "Statement": entry}) for entry in given_statements]
    values = {"iot:one": (one,), "iot:many": ("a", "b")}
    mine = decide([parse("p", entry) for entry in documents], "iot:Publish", PREFIX + topic, Variables(values))
    context = evaluator.EvalContext(
        principal_arn="",
        principal_type="Certificate",
        principal_account="123456789012",
        action="iot:Publish",
        resource_arn=PREFIX + topic,
        region="eu-west-1",
        service_context={"iot:one": one, "iot:many": ["a", "b"]},
    )
    theirs = evaluator.evaluate(context, [evaluator.parse_policy_document(entry) for entry in documents])
    return mine.allowed is bool(theirs.decision == "Allow")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(statements(), min_size=1, max_size=3), min_size=1, max_size=2), WORDS, WORDS)
def test_policies_are_decided_alike(given_statements: list[list[dict[str, Any]]], topic: str, one: str) -> None:
    assert both_decide_alike(given_statements, topic, one)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(conditions(), WORDS)
def test_conditions_are_judged_alike(condition: dict[str, dict[str, Any]], one: str) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    assert both_decide_alike([[statement]], "a", one)
