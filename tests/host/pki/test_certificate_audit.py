"""An audit finds what expires, weak keys and signatures, reused keys and duplicate serials; and nothing in a good fleet."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.errors import BadInput
from rootlet.pki import batch, keys
from rootlet.pki.audit import audit
from rootlet.pki.authority import Authority
from support import certificates
from support.pki_kit import Rootlet

NOW = dt.datetime.now(dt.UTC)


def make(
    authority: Authority, thing: str, *, key: Any = None, serial: int | None = None, days: int = 365
) -> x509.Certificate:
    return certificates.certificate(thing, key or keys.generate(), by=authority.issuer, valid=(-1000, days), serial=serial)


def look(tmp_path: Path, *made: x509.Certificate, within: int = 90) -> list[tuple[str, str]]:
    for number, certificate in enumerate(made):
        (tmp_path / f"{number}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return [(finding.kind, finding.subject) for finding in audit([tmp_path], within=within).findings]


def test_a_good_fleet_has_no_findings(authority: Authority, tmp_path: Path) -> None:
    authority.issue("sensor-1").save(tmp_path / "sensor-1")
    authority.issue("sensor-2").save(tmp_path / "sensor-2")
    batch.issue(authority, tmp_path / "batch", batch.BatchRequest([("sensor-3", None)]))
    report = audit([authority.directory, tmp_path], within=90)
    assert report.findings == ()
    assert report.certificates == 4  # the CA's is in five places and counts once


def test_what_expired_or_soon_will(authority: Authority, tmp_path: Path) -> None:
    certificates = [make(authority, "gone", days=-1), make(authority, "soon", days=89), make(authority, "later", days=91)]
    assert look(tmp_path, *certificates) == [("expired", "CN=gone"), ("expires", "CN=soon")]


def test_weak_keys(authority: Authority, tmp_path: Path) -> None:
    weak = {
        "rsa1024": rsa.generate_private_key(65537, 1024),
        "rsa3": rsa.generate_private_key(3, 2048),
        "p224": ec.generate_private_key(ec.SECP224R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    found = look(tmp_path, *(make(authority, thing, key=key) for thing, key in weak.items()))
    assert found == [("weak-key", f"CN={thing}") for thing in weak]


# `cryptography` signs no more with SHA-1. Made with: openssl req -x509 -newkey rsa:2048 -sha1 -days 36500 -subj /CN=old
OLD = Path(__file__).parent / "sha1.crt"


def test_weak_signatures() -> None:
    assert [finding.kind for finding in audit([OLD], within=0).findings] == ["weak-signature"]


def test_reused_keys(authority: Authority, tmp_path: Path) -> None:
    key = keys.generate()
    shared = [make(authority, "a", key=key), make(authority, "b", key=key), make(authority, "c")]
    assert look(tmp_path, *shared) == [("reused-key", "CN=a"), ("reused-key", "CN=b")]


def test_duplicate_serials_of_one_issuer(authority: Authority, tmp_path: Path) -> None:
    other = make(authority, "x", serial=4711)
    assert look(tmp_path, make(authority, "a", serial=4711), other, make(authority, "c", serial=4712)) == [
        ("duplicate-serial", "CN=a"),
        ("duplicate-serial", "CN=x"),
    ]


def test_a_damaged_file_is_a_finding_and_the_rest_is_looked_at(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "bad.crt").write_bytes(b"nonsense")
    (tmp_path / "part-00000.jsonl").write_text('{"thing": "x"}\n')
    (tmp_path / "key.pem").write_bytes(keys.pem(keys.generate()))
    findings = audit([tmp_path, authority.directory], within=90)
    assert findings.certificates == 1
    assert [finding.kind for finding in findings.findings] == ["unreadable", "unreadable"]


def test_a_path_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to audit"):
        audit([tmp_path / "none"], within=90)


def test_the_command_says_by_its_exit_code_whether_something_was_found(
    rootlet: Rootlet, authority: Authority, tmp_path: Path
) -> None:
    authority.issue("sensor-1").save(tmp_path / "sensor-1")
    assert rootlet("ca", "audit", authority.directory, tmp_path).code == 0
    (tmp_path / "gone.crt").write_bytes(make(authority, "gone", days=-1).public_bytes(Encoding.PEM))
    found = rootlet("ca", "audit", tmp_path)
    assert found.code == 1 and "expired" in found.out and "CN=gone" in found.out
    assert rootlet("ca", "audit", tmp_path / "none").code == 2


def test_the_journal_of_a_registration_in_a_batch_is_no_part_of_it(authority: Authority, tmp_path: Path) -> None:
    batch.issue(authority, tmp_path / "batch", batch.BatchRequest([("one", None)]))
    (tmp_path / "batch" / "registered.jsonl").write_text('{"journal": {}}\n{"certificate": "ab", "thing": "one"}\n')
    report = audit([tmp_path / "batch"], within=30)
    assert report.findings == ()
    assert report.certificates == 2, "the device's, and its issuer's"


@pytest.mark.parametrize("lines", [2, 0])
def test_a_part_of_a_batch_that_lost_devices_is_a_finding(authority: Authority, tmp_path: Path, lines: int) -> None:
    directory = tmp_path / "batch"
    batch.issue(authority, directory, batch.BatchRequest([(f"lost-{number}", None) for number in range(3)]), workers=1)
    part = directory / "part-00000.jsonl"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:lines]))  # between two lines, each of them whole
    (finding,) = audit([directory], within=30).findings
    assert finding.kind == "unreadable" and "of 3" in finding.detail
    aside = tmp_path / part.name  # a part alone, of which nothing else is known
    aside.write_bytes(part.read_bytes())
    assert audit([aside], within=30).findings == ()
