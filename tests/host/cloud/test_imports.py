"""Devices that a manufacturer provisioned: PEM bundles, CSV files and signed manifests."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cloud import imports
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from support.cloud_commands import run, status
from support.defects import sign


def test_a_pem_bundle_and_a_csv_are_registered(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    one, two, three = (authority.issue(f"maker-{n}") for n in range(3))
    bundle = tmp_path / "bundle.pem"
    ca = authority.certificate.public_bytes(Encoding.PEM)
    bundle.write_bytes(one.certificate.public_bytes(Encoding.PEM) + ca)
    assert run("import-manifest", bundle).exit_code == 0
    (tmp_path / "two.crt").write_bytes(two.certificate.public_bytes(Encoding.PEM))
    sheet = tmp_path / "modules.csv"
    der = base64.b64encode(three.certificate_der()).decode()
    sheet.write_text(f"thing,certificate\n,two.crt\nrenamed-3,{der}\n")
    result = run("import-manifest", sheet)
    assert result.exit_code == 0, result.output
    assert [status(aws, device) for device in (one, two, three)] == ["ACTIVE"] * 3
    assert aws.describe_thing(thingName="renamed-3")


def microchip(certificates: list[Any], key: ec.EllipticCurvePrivateKey) -> bytes:
    def encoded(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    entries = []
    for number, certificate in enumerate(certificates):
        chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        payload = encoded({"version": 1, "uniqueId": f"0123{number:04}", "publicKeySet": {"keys": [{"x5c": chain}]}})
        protected = encoded({"typ": "JWT", "alg": "ES256"})
        r, s = decode_dss_signature(key.sign(f"{protected}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
        signature = base64.urlsafe_b64encode(r.to_bytes(32) + s.to_bytes(32)).decode().rstrip("=")
        entries.append({"payload": payload, "protected": protected, "header": {"uniqueId": "x"}, "signature": signature})
    return json.dumps(entries).encode()


def test_a_signed_manifest_is_taken_only_from_its_signer_and_unchanged(authority: Authority, tmp_path: Path) -> None:
    signer, other = sign("Log Signer"), sign("Somebody")
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    manifest = tmp_path / "manifest.json"
    data = microchip([authority.issue("chip").certificate], signer.key)
    manifest.write_bytes(data)
    (found,) = imports.read(manifest, [other.certificate, signer.certificate])
    assert found.thing == "01230000"
    with pytest.raises(RootletError, match="no --signer made the signature"):
        imports.read(manifest, [other.certificate])
    with pytest.raises(RootletError, match="is a signed manifest"):
        imports.read(manifest)
    entries = json.loads(data)
    entries[0]["payload"] = entries[0]["payload"][:-4] + "AAAA"
    manifest.write_text(json.dumps(entries))
    with pytest.raises(RootletError, match="entry 1"):
        imports.read(manifest, [signer.certificate])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no column certificate"),
        ("thing\nx\n", "no column certificate"),
        ("thing,certificate\nx,nonsense!\n", "row 2: the column certificate has no certificate"),
        ("[]", "is a signed manifest"),
    ],
)
def test_a_manifest_that_is_none_is_named_before_anything_is_registered(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "manifest"
    path.write_text(content)
    with pytest.raises(RootletError, match=words):
        imports.read(path)


def test_a_thing_that_is_there_twice_is_refused(authority: Authority, tmp_path: Path) -> None:
    pem = b"".join(authority.issue("twin").certificate.public_bytes(Encoding.PEM) for _ in range(2))
    (tmp_path / "twins.pem").write_bytes(pem)
    with pytest.raises(RootletError, match="has thing twin twice"):
        imports.read(tmp_path / "twins.pem")
