"""Our verdict on every defect, beside those of a real mbedTLS (the Unix port's) and of OpenSSL, over real TLS."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.pki.authority import Authority
from rootlet.trust import judge
from rootlet.trust.fetch import Offer, fetch
from rootlet.trust.model import Certificate
from support import moved_roots, odd_chains  # noqa: F401 - their cases join CASES
from support.defects import CASES, DefectCase
from support.impostor import Impostor

MBEDTLS = (Path(__file__).parents[1] / "firmware" / "scripts" / "mbedtls_verdict.py").read_text()

VERDICTS = {
    "tls-untrusted-root": "not correctly signed",
    "tls-hostname": "does not match",
    "tls-expired": "has expired",
    "tls-not-yet-valid": "in the future",
    "tls-failed": "",
}


def ours(case: DefectCase) -> judge.ChainVerdict:
    with Impostor(list(case.sent), case.key) as server:
        served = fetch(case.host, server.port, Offer(), connect_to="127.0.0.1")
    if served.unreadable:
        assert len(served.chain) + served.unreadable == len(case.sent)
    else:
        assert [c.der for c in served.chain] == [c.public_bytes(Encoding.DER) for c in case.sent]
    roots = [Certificate(root.public_bytes(Encoding.DER)) for root in case.roots]
    return judge.judge(served.chain, roots, case.host, dt.datetime.now(dt.UTC), served.message_size, served.unreadable)


def mbedtls(case: DefectCase) -> str:
    with Impostor(list(case.sent), case.key) as server:
        roots = [root.public_bytes(Encoding.DER).hex() for root in case.roots]
        done = subprocess.run(
            [sys.executable, "-m", "micropython_unix", "-c", MBEDTLS],
            env=os.environ | {"GIVEN": json.dumps({"roots": roots, "port": server.port, "host": case.host})},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    return (done.stdout + done.stderr).strip()


def openssl(case: DefectCase, directory: Path) -> str:
    def write(name: str, certificates: tuple[x509.Certificate, ...]) -> str:
        path = directory / name
        path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
        return str(path)

    name = "-verify_ip" if case.host[0].isdigit() else "-verify_hostname"
    roots, leaf = write("roots.pem", case.roots), write("leaf.pem", case.sent[:1])
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", roots, "-purpose", "sslserver", name, case.host]
    if case.sent[1:]:
        command += ["-untrusted", write("others.pem", case.sent[1:])]
    done = subprocess.run([*command, leaf], capture_output=True, text=True, check=False)
    return "verified" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_our_verdict_is_that_of_a_real_mbedtls(name: str) -> None:
    case = CASES[name]()
    verdict, real = ours(case), mbedtls(case)
    assert verdict.ok == (real == "connected"), (real, verdict.broken)
    assert verdict.ok == (case.fault == "")
    if not verdict.ok:
        assert verdict.broken[0].word == case.fault
        assert VERDICTS[case.fault] in real


@pytest.mark.parametrize("name", CASES)
def test_openssl_agrees_or_it_is_known_why_not(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    real = openssl(case, tmp_path)
    assert (real == "verified") == case.openssl, real
    assert bool(case.why) == (case.openssl != (case.fault == ""))


def test_the_page_tells_every_difference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    for name in CASES:
        if why := CASES[name]().why:
            assert why in page, name


def test_the_device_names_the_same_fault(authority: Authority) -> None:
    """The words of the verdict are those that the firmware prints (firmware/leaf/faults.txt)."""
    from rootlet import resources

    words = {line.partition(":")[0] for line in (resources.FIRMWARE / "leaf" / "faults.txt").read_text().splitlines()}
    assert {CASES[name]().fault for name in CASES} - {""} <= words
