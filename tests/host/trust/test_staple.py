"""What a server staples about its certificate's revocation is shown; the verdict is a device's, which does not look."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet.cli.trust import chain as cli
from rootlet.pki.certificates import PrivateKey
from rootlet.trust import staple
from rootlet.trust.model import Certificate
from support.defects import CASES, DefectCase, intermediate, sign
from support.stapling import Stapler

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def response(
    case: DefectCase,
    *,
    revoked: bool = False,
    until: dt.datetime = NOW + dt.timedelta(days=1),
    about: x509.Certificate | None = None,
    by: tuple[x509.Certificate, PrivateKey] | None = None,
    delegated: bool = False,
) -> bytes:
    """An OCSP response about the server's certificate, by its issuer unless told otherwise."""
    issuer = case.sent[1]
    signer, key = by or (issuer, intermediate().key)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=about or case.sent[0],
        issuer=issuer,
        algorithm=hashes.SHA256(),
        cert_status=ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD,
        this_update=NOW - dt.timedelta(days=1),
        next_update=until,
        revocation_time=NOW - dt.timedelta(hours=30) if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer)
    if delegated:
        builder = builder.certificates([signer])
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def read(case: DefectCase, der: bytes) -> staple.Staple:
    chain = [Certificate(one.public_bytes(Encoding.DER)) for one in case.sent]
    roots = [Certificate(one.public_bytes(Encoding.DER)) for one in case.roots]
    found = staple.read(der, chain, roots, NOW)
    assert found
    return found


def responder(usage: x509.ObjectIdentifier) -> tuple[x509.Certificate, PrivateKey]:
    """A responder that the intermediate certified, with its key."""
    made = sign("Responder", intermediate(), usage=usage)
    return made.certificate, made.key


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_good_staple_is_shown_and_said_to_be_unchecked(version: str, tmp_path: Path) -> None:
    case = CASES["sound"]()
    with Stapler(case.sent, case.key, response(case)) as server:
        shown = look(case, server.port, tmp_path, "--tls", version)
    (first, *_) = json.loads(shown)["chains"]
    assert first["revocation"].startswith("OCSP staple: good, from ")
    assert first["revocation"].endswith("; a device does not check it")


def test_a_revoked_server_is_reported_and_the_device_would_connect_all_the_same(tmp_path: Path) -> None:
    case = CASES["sound"]()
    with Stapler(case.sent, case.key, response(case, revoked=True)) as server:
        report = json.loads(look(case, server.port, tmp_path))
    assert report["would_connect"] is True
    assert report["chains"][0]["revocation"].startswith(
        f"OCSP staple: revoked, since {NOW - dt.timedelta(hours=30):%Y-%m-%d}"
    )
    (note,) = [note for note in report["notes"] if "revoked" in note]
    assert "A device connects all the same" in note


def test_a_server_that_staples_nothing_is_said_to(tmp_path: Path) -> None:
    case = CASES["sound"]()
    with Stapler(case.sent, case.key, b"") as server:
        report = json.loads(look(case, server.port, tmp_path))
    assert report["chains"][0]["revocation"] == "no OCSP staple; a device does not check it"


def look(case: DefectCase, port: int, directory: Path, *more: str) -> str:
    roots = directory / "roots.pem"
    roots.write_bytes(b"".join(root.public_bytes(Encoding.PEM) for root in case.roots))
    base = [f"{case.host}:{port}", "--address", "127.0.0.1", "--root", str(roots), "--algorithm", "ecdsa", "--json"]
    return CliRunner().invoke(cli.command, [*base, *more]).stdout


def test_a_responder_that_the_issuer_certified_counts() -> None:
    case = CASES["sound"]()
    signer = responder(ExtendedKeyUsageOID.OCSP_SIGNING)
    assert read(case, response(case, by=signer, delegated=True)).status == "good"


def test_what_does_not_count_is_named_as_unusable() -> None:
    case = CASES["sound"]()
    client = responder(ExtendedKeyUsageOID.CLIENT_AUTH)
    unsigned = bytearray(response(case))
    unsigned[-1] ^= 1
    wrong = {
        "neither the issuer nor a responder of its signed it": response(case, by=client, delegated=True),
        "it is about another certificate": response(case, about=case.sent[1]),
        "it counts from": response(case, until=NOW - dt.timedelta(hours=1)),
        "it cannot be read": b"0\x03\x02\x01",
        "the responder answered try_later": ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.TRY_LATER
        ).public_bytes(Encoding.DER),
    }
    for words, der in wrong.items():
        found = read(case, der)
        assert found.status == "unusable" and words in found.text, (words, found)
    assert read(case, bytes(unsigned)).status == "unusable"
