"""Arguments of ``leaf``'s functions get one-letter names, and every function does what it did."""

from rootlet.board import argument_names

SOURCE = """
LIMIT = 3
def outer(count, limit=LIMIT):
    total = 0
    def add(number):
        nonlocal total
        total += number * limit
    for entry in range(count):
        add(entry)
    return total, [count for count in range(limit)], (lambda count: count + LIMIT)(count)

class Thing:
    def __init__(self, name, label=""):
        self.name, self.label = name, label

def made(name):
    return Thing(name, label="a " + name).label

def caught(number):
    try:
        return 1 // number
    except ZeroDivisionError as error:
        return str(error)
"""


def run(source: str) -> list[object]:
    space: dict[str, object] = {}
    exec(source, space)
    outer, made, caught = space["outer"], space["made"], space["caught"]
    return [outer(4), outer(2, 5), made("lamp"), caught(0), caught(1)]  # type: ignore[operator]


def test_a_module_does_what_it_did() -> None:
    short = argument_names.shorten(SOURCE, argument_names.passed_by_name([SOURCE]))
    assert run(short) == run(SOURCE)
    for name in ("count", "number", "limit"):
        assert f"{name}," not in short and f"({name})" not in short


def test_what_a_call_passes_by_name_keeps_its_name() -> None:
    assert argument_names.passed_by_name([SOURCE]) == {"label"}
    assert "label=''" in argument_names.shorten(SOURCE, {"label"})


def test_a_global_that_is_called_like_an_argument_elsewhere_stays() -> None:
    source = "size = 4\ndef outer():\n    def inner(size):\n        return size\n    return inner(1) + size\n"
    space: dict[str, object] = {}
    exec(argument_names.shorten(source, set()), space)
    assert space["outer"]() == 5  # type: ignore[operator]
