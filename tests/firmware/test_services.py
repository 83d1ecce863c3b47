"""The documents of shadow and jobs, as the firmware reads and makes them."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import RunLeaf


def value(dice: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: dice.randint(-9, 9),
        lambda: dice.choice("abc"),
        lambda: dice.random() < 0.5,
        lambda: [dice.randint(0, 3)],
    ]
    if depth < 4:
        kinds += [lambda: {key: value(dice, depth + 1) for key in dice.sample("abcd", dice.randint(0, 3))}] * 3
    return dice.choice(kinds)()


def pair(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    dice = random.Random(seed)
    new, old = ({key: value(dice) for key in dice.sample("abcd", dice.randint(0, 4))} for _ in range(2))
    return new, old


def test_an_update_makes_of_what_the_cloud_has_what_the_device_has_and_leaves_what_is_not_the_devices(leaf: RunLeaf) -> None:
    pairs = [pair(seed) for seed in range(500)]
    updates = leaf(
        "from leaf.services.shadow_work import difference, merged\n"
        "made = [difference(new, old) for new, old in given]\n"
        "answer([[update, merged(old, update)] for update, (_, old) in zip(made, given)])",
        pairs,
    )
    for (new, old), (update, after) in zip(pairs, updates, strict=True):
        assert after == old | new
        assert bool(update) == any(key not in old or old[key] != new[key] for key in new)


@pytest.mark.parametrize(
    ("payload", "read"),
    [
        ('{"state": {"a": "]]]]]]]]]]]]]]]]"}}', True),
        ('{"state": {"a": "[[[[[[[[[[[[\\\\"}}', True),
        ('{"state": {"a": "\\\\\\"[[[[[[[[[[[["}}', True),
        ('{"a": ' + "[" * 9 + "]" * 9 + "}", True),
        ('{"a": ' + "[" * 10 + "]" * 10 + "}", False),
        ("[" * 5000, False),
        ("[1]", False),
        ("null", False),
        ("", False),
        ('{"a": 1', False),
        ("\\xff\\xfe", False),
    ],
)
def test_only_an_object_that_is_not_nested_too_deeply_is_read(leaf: RunLeaf, payload: str, read: bool) -> None:
    assert leaf("from leaf.services.documents import parse\nanswer(parse('t', given.encode()) is not None)", payload) is read


def test_what_json_cannot_hold_is_refused_where_it_is_reported(leaf: RunLeaf) -> None:
    script = """
from leaf.services.shadow import Shadow
class Device:
    services = []
    def wake(self): pass
shadow = Shadow(Device())
def refused(value):
    try:
        shadow.report({"a": value})
    except ValueError:
        return True
    return False
mutable = [1]
shadow.report({"b": mutable})
mutable.append(2)
answer([refused(value) for value in (float("nan"), float("inf"), b"x", {1, 2}, object(), 1.5)] + [shadow.reported])
"""
    assert leaf(script) == [True] * 5 + [False, {"a": 1.5, "b": [1]}]


def test_what_is_older_than_what_was_seen_says_nothing(leaf: RunLeaf) -> None:
    script = """
from leaf.services.shadow import Shadow
class Device:
    services = []
    def wake(self): pass
shadow = Shadow(Device())
shadow.setting("a", 0)(lambda value: None)
seen = []
for version, value in ((5, 1), (4, 2), (5, 3), (6, 4), (None, 5)):
    shadow.wanted = {}
    shadow.on("update/delta", {"version": version, "state": {"a": value}})
    seen.append(shadow.wanted.get("a"))
answer(seen)
"""
    assert leaf(script) == [1, None, 3, 4, 5]


def test_a_desired_value_that_is_taken_back_is_not_applied_later_and_no_refusal_of_it_stays(leaf: RunLeaf) -> None:
    script = """
import asyncio
from leaf.services.shadow import Shadow
class Device:
    services = []
    def wake(self): pass
shadow = Shadow(Device())
seen = []
def take(value):
    seen.append(value)
    if value > 9:
        raise ValueError("9 at most")
shadow.setting("a", 1)(take)
async def main():
    for version, value in ((1, 99), (2, 1)):
        shadow.on("get/accepted", {"version": version, "state": {"desired": {"a": value}}})
        for _ in range(5):
            await asyncio.sleep(0)
    told = shadow.reported["refused"]
    shadow.on("update/delta", {"version": 3, "state": {"a": 5}})
    shadow.on("get/accepted", {"version": 4, "state": {"desired": {"a": 1}}})
    for _ in range(5):
        await asyncio.sleep(0)
    answer([told, seen, shadow["a"]])
asyncio.run(main())
"""
    assert leaf(script) == [None, [99, 1, 1], 1]
