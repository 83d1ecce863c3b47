"""What an application records leaves as JSON that everybody can read, whatever it is."""

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from .conftest import RunLeaf

SCRIPT = """
from leaf import log, plain
from leaf.device import Device
from leaf.outbox import Outbox
said = []
plain.log = lambda component, text: said.append(text)
class Sensor:
    pass
class Readings(dict):
    pass
nan, inf = float("nan"), float("inf")
device = Device()
device.outbox = Outbox(given["directory"], 4096, 65536)
reading = eval(given["reading"])
taken = device.record("climate", reading)
answer([taken, device.outbox.take().payload.decode(), said])
"""


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(
    ("reading", "payload", "said"),
    [
        ('{"t": 21.5, "n": 1, "on": True, "none": None, "s": "x", "l": [1, (2, 3)]}', None, []),
        ('{"t": nan, "u": 1.5}', {"t": None, "u": 1.5}, ["climate.t is nan"]),
        ('{"t": inf}', {"t": None}, ["climate.t is inf"]),
        ('{"a": [1, {"t": -inf}]}', {"a": [1, {"t": None}]}, ["climate.a[1].t is -inf"]),
        ('{"raw": b"\\xff"}', {"raw": None}, ["climate.raw is of type bytes"]),
        ('{"raw": bytearray(b"x")}', {"raw": None}, ["climate.raw is of type bytearray"]),
        ('{"s": {1, 2}}', {"s": None}, ["climate.s is of type set"]),
        (
            '{"s": Sensor(), "z": 1j}',
            {"s": None, "z": None},
            ["climate.s is of type Sensor", "climate.z is of type complex"],
        ),
        ("{1: 2, None: 3}", {"1": 2, "null": 3}, []),
        ("Readings(a=1)", {"a": 1}, []),
        ("nan", None, ["climate is nan"]),
        ("[1.5, nan]", [1.5, None], ["climate[1] is nan"]),
    ],
)
def test_what_json_cannot_hold_is_null_and_named(
    leaf: RunLeaf, tmp_path: Path, reading: str, payload: Any, said: Any
) -> None:
    taken, text, lines = leaf(SCRIPT, {"reading": reading, "directory": str(tmp_path)})
    found = json.loads(text, parse_constant=refuse)
    assert taken
    if payload is not None or said:
        assert found == payload
    assert sorted(line.split(", which")[0] for line in lines) == said
    assert all(line.endswith(", which JSON cannot hold: null in its place") for line in lines)


def test_so_it_is_in_the_answer_to_a_command(leaf: RunLeaf) -> None:
    answer = leaf("""
from leaf import commands
from leaf.device import Device
device = Device()
commands._reply(device, "1", "ok", {"t": float("nan")})
answer(device.replies[0])
""")
    assert json.loads(answer, parse_constant=refuse) == {"id": "1", "status": "ok", "result": {"t": None}}
