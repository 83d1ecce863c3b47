"""Rules of the device that need no network: configuration, backoff, time."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from rootlet import resources
from rootlet.board import config
from rootlet.trust.roots import load_manifest

from .conftest import RunLeaf

VALID = {"endpoint": "a-ats.iot.eu-west-1.amazonaws.com"}
VECTORS: list[Any] = [
    VALID,
    {},
    [],
    None,
    {**VALID, "endpoint": ""},
    {**VALID, "endpoint": 1},
    {**VALID, "endpoint": "https://x"},
    {**VALID, "endpoint": "ä"},
    {**VALID, "port": 0},
    {**VALID, "port": 65536},
    {**VALID, "port": "8883"},
    {**VALID, "port": True},
    {**VALID, "port": 1.5},
    {**VALID, "portt": 1},
    {**VALID, "client_id": None},
    {**VALID, "client_id": "x" * 129},
    {**VALID, "keep_alive": 29},
    {**VALID, "application": "a/b"},
    {**VALID, "wifi": {}},
    {**VALID, "wifi": [{}]},
    {**VALID, "wifi": [1]},
    {**VALID, "wifi": [{"ssid": "a"}]},
    {**VALID, "wifi": [{"ssid": "a", "password": "1234567"}]},
    {**VALID, "wifi": [{"ssid": "a", "pasword": "12345678"}]},
    {**VALID, "wifi": [{"ssid": "a"}] * 9},
    {**VALID, "ntp": ["ok", 2]},
    {**VALID, "presence": True},
    {**VALID, "presence": 1},
    {**VALID, "watchdog": 0},
    {**VALID, "watchdog": 59},
]


def test_host_and_device_judge_every_configuration_alike_to_the_letter(leaf: RunLeaf) -> None:
    schema = config.load_schema()
    script = """
from leaf.config import check
answer([check(values, given["schema"]) for values in given["vectors"]])
"""
    device = leaf(script, {"schema": schema, "vectors": VECTORS})
    host = [config.check(values, schema) for values in VECTORS]
    assert device == host
    assert host[0] is None
    assert host.count(None) == 4
    assert not any("1234567" in problem for problem in host if problem)


def test_the_backoff_is_full_jitter_between_a_floor_and_a_growing_ceiling(leaf: RunLeaf) -> None:
    script = """
from leaf.backoff import delay
answer([[delay(n, r) for r in (0, 0x7fffffff, 0xffffffff)] for n in range(1, 41)])
"""
    rows = leaf(script)
    assert [row[0] for row in rows] == [1000] * 40
    assert [row[2] for row in rows[:7]] == [2000, 4000, 8000, 16000, 32000, 60000, 60000]
    assert all(row[2] == 60000 for row in rows[5:])
    assert all(row[0] <= row[1] <= row[2] for row in rows)


NONCE = bytes(range(8))
SECONDS = 3_990_000_000  # June 2026, in NTP's seconds


def reply(first: int = 0x24, stratum: int = 1, origin: bytes = NONCE, seconds: int = SECONDS) -> bytes:
    return bytes([first, stratum]) + bytes(22) + origin + bytes(8) + struct.pack("!II", seconds, 0)


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (reply(), SECONDS - 2208988800),
        (reply(seconds=100), 100 + (1 << 32) - 2208988800),  # NTP's era 1, from 2036 on
        (reply()[:47], "short reply"),
        (reply(first=0x23), "not a server's reply"),
        (reply(stratum=0), "kiss-o'-death"),
        (reply(stratum=16), "not synchronized"),
        (reply(first=0xE4), "not synchronized"),
        (reply(origin=bytes(8)), "not ours"),
        (reply(seconds=0), "no transmit timestamp"),
    ],
)
def test_only_a_sound_answer_to_our_own_question_sets_the_clock(leaf: RunLeaf, packet: bytes, verdict: int | str) -> None:
    script = """
from leaf.sntp import parse
try:
    answer(parse(bytes.fromhex(given[0]), bytes.fromhex(given[1])))
except ValueError as error:
    answer(str(error))
"""
    found = leaf(script, [packet.hex(), NONCE.hex()])
    assert found == verdict if isinstance(verdict, int) else verdict in found


def test_the_thing_and_its_issuer_are_read_out_of_the_certificate(leaf: RunLeaf, authority: Any) -> None:
    identity = authority.issue("thing:with_all-1")
    script = """
from leaf import x509
der = bytes.fromhex(given)
broken = []
for cut in range(0, len(der), 7):
    try:
        x509.names(der[:cut])
        broken.append(cut)
    except ValueError:
        pass
answer([x509.names(der), broken])
"""
    names, broken = leaf(script, identity.certificate_der().hex())
    assert names == ["Test Fleet CA", "thing:with_all-1"]
    assert not broken


def test_every_fault_that_the_firmware_names_has_a_hint() -> None:
    lines = (resources.FIRMWARE / "leaf" / "faults.txt").read_text().splitlines()
    hints = dict(line.split(": ", 1) for line in lines)
    sources = "".join(path.read_text() for path in (resources.FIRMWARE / "leaf").rglob("*.py"))
    named = set(re.findall(r'Fault\(\s*"([a-z-]+)"', sources)) | set(
        re.findall(r'\("[a-z A-Z]+", "(tls-[a-z-]+)"\)', sources)
    )
    assert named == set(hints)
    assert all(hint and not hint.endswith(".") for hint in hints.values())


def test_the_device_finds_a_hint_by_its_word_alone(leaf: RunLeaf) -> None:
    path = str(resources.FIRMWARE / "leaf" / "faults.txt")
    found = leaf("from leaf.faults import hint\nanswer([hint(word, given) for word in ('tls', 'tcp', 'nothing')])", path)
    assert found == ["", "check that the network lets TCP through to this port", ""]


@pytest.mark.parametrize(
    ("kinds", "offered"),
    [
        (["ECDSA"], ["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384"]),
        (["RSA"], ["TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384"]),
    ],
)
def test_only_suites_are_offered_whose_chain_can_end_at_an_embedded_root(
    leaf: RunLeaf, kinds: list[str], offered: list[str]
) -> None:
    script = """
import tls
from leaf.trust import _suites
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
context.set_ciphers(_suites(given))  # which raises for one that MicroPython does not have
answer(_suites(given))
"""
    assert leaf(script, kinds) == offered


def test_the_kind_of_a_roots_key_is_read_from_its_certificate(leaf: RunLeaf) -> None:
    ders = {root.name: root.der().hex() for root in load_manifest().roots}
    found = leaf("from leaf.keys import is_ec\nanswer({n: is_ec(bytes.fromhex(d)) for n, d in given.items()})", ders)
    assert found == {root.name: root.key_type.startswith("EC") for root in load_manifest().roots}


OVERRIDES = (Path(__file__).parents[0] / "scripts" / "overrides.py").read_text()


def test_overrides_go_over_the_configuration_and_only_sound_ones_are_kept(leaf: RunLeaf, tmp_path: Path) -> None:
    given = {
        "directory": str(tmp_path),
        "schema": str(resources.FIRMWARE / "leaf" / "config_schema.json"),
        "overrides": [{}, {"keep_alive": 90}, {"keep_alive": 5}],
    }
    first, second, third = leaf(OVERRIDES, given)
    assert (first, second) == (60, 90)
    assert third == "overrides: keep_alive is 5; must be at least 30"
    assert json.loads((tmp_path / "config.json").read_text()) == {"keep_alive": 90}


def test_overrides_that_break_a_rule_at_boot_are_left_out(leaf: RunLeaf, tmp_path: Path) -> None:
    given = {
        "directory": str(tmp_path),
        "schema": str(resources.FIRMWARE / "leaf" / "config_schema.json"),
        "overrides": [],
        "broken": {"keep_alive": "soon"},
    }
    assert leaf(OVERRIDES, given) == [60]
