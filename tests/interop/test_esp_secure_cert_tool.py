"""Espressif's own tool reads the credential partitions that we write, and we read those that it writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from rootlet.board import secure_cert
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity

TOOL = Path(sys.executable).with_name("configure_esp_secure_cert.py")
KINDS = {"ec-p256": ["ECDSA", "256"], "rsa-2048": ["RSA", "2048"]}


def mint(key_type: keys.KeyType, with_ca: bool) -> DeviceIdentity:
    ca_key, key = keys.generate(), keys.generate(key_type)
    ca = certificates.root(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleet CA")]), ca_key, days=3650)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-1")])
    device = certificates.device(name, key.public_key(), certificates.Issuer(ca, ca_key), days=365)
    return DeviceIdentity("sensor-1", device, key, (ca,) if with_ca else ())


def run_tool(directory: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, TOOL, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("key_type", KINDS)
@pytest.mark.parametrize("with_ca", [True, False])
def test_espressifs_tool_reads_ours(tmp_path: Path, key_type: keys.KeyType, with_ca: bool) -> None:
    identity = mint(key_type, with_ca)
    (tmp_path / "ours.bin").write_bytes(secure_cert.from_identity(identity))
    run_tool(tmp_path, "--parse_bin", "ours.bin", "--target_chip", "esp32")
    found = [path.read_bytes() for path in (tmp_path / "esp_secure_cert_parsed_data").rglob("*") if path.is_file()]
    assert _certificate_in(found, identity.certificate)
    assert any(_key_of(data, identity) for data in found)
    if with_ca:
        assert _certificate_in(found, identity.issuers[0])


@pytest.mark.parametrize("key_type", KINDS)
@pytest.mark.parametrize("with_ca", [True, False])
def test_we_read_espressifs(tmp_path: Path, key_type: keys.KeyType, with_ca: bool) -> None:
    identity = mint(key_type, with_ca)
    (tmp_path / "device.crt").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    key_format = PrivateFormat.TraditionalOpenSSL
    (tmp_path / "device.key").write_bytes(identity.key.private_bytes(Encoding.PEM, key_format, NoEncryption()))
    arguments = ["--private-key", "device.key", "--device-cert", "device.crt", "--target_chip", "esp32", "--skip_flash"]
    arguments += ["--secure_cert_type", "cust_flash_tlv", "--priv_key_algo", *KINDS[key_type]]
    if with_ca:
        (tmp_path / "ca.crt").write_bytes(identity.issuers[0].public_bytes(Encoding.PEM))
        arguments += ["--ca-cert", "ca.crt"]
    run_tool(tmp_path, *arguments)
    found = secure_cert.to_identity(next(tmp_path.rglob("esp_secure_cert.bin")).read_bytes())
    assert (found.thing, found.certificate_id) == ("sensor-1", identity.certificate_id)
    assert found.key.public_key() == identity.key.public_key()
    assert found.issuers == identity.issuers


def _certificate_in(found: list[bytes], certificate: x509.Certificate) -> bool:
    forms = (certificate.public_bytes(Encoding.DER), certificate.public_bytes(Encoding.PEM).strip())
    return any(form in data for data in found for form in forms)


def _key_of(data: bytes, identity: DeviceIdentity) -> bool:
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    for load in (load_der_private_key, load_pem_private_key):
        try:
            return load(data.rstrip(b"\0"), None).public_key() == identity.key.public_key()
        except (ValueError, TypeError):
            continue
    return False
