"""Espressif's own tool reads the credential partitions that we write, and we read those that it writes."""

import contextlib
import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from esp_secure_cert.tlv_format_construct import TlvPartitionBuilder
from rootlet.board import secure_cert
from rootlet.board.secure_cert import Type
from rootlet.errors import RootletError
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity
from support.espressif import REAL, generated

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


def test_a_real_partition_with_appended_integrity_is_read() -> None:
    if not REAL.exists():
        pytest.skip(f"no {REAL}")
    for partition in (REAL.read_bytes(), REAL.read_bytes().ljust(secure_cert.SIZE, b"\xff")):
        assert secure_cert.to_identity(partition).thing == "sensor-1"


@pytest.mark.parametrize("seed", range(40))
def test_we_find_the_entries_that_their_parser_finds(tmp_path: Path, seed: int) -> None:
    partition, theirs = generated(random.Random(seed), tmp_path)
    assert secure_cert.decode(partition) == tuple(theirs)


def test_of_several_identities_the_one_with_the_highest_subtype_counts(tmp_path: Path) -> None:
    older, newest = mint("ec-p256", True), mint("ec-p256", True)
    builder = TlvPartitionBuilder()
    with contextlib.redirect_stdout(io.StringIO()):
        for identity, subtype in ((older, 0), (newest, 3), (older, 2)):
            builder.add_tlv_entry(Type.PRIVATE_KEY, subtype, identity.key_der(), 0)
            builder.add_tlv_entry(Type.DEVICE_CERTIFICATE, subtype, identity.certificate_der(), 0)
            builder.add_tlv_entry(Type.CA_CERTIFICATE, subtype, identity.issuers[0].public_bytes(Encoding.DER), 0)
        builder.build_partition(str(tmp_path / "three.bin"), add_tlv_integrity=True)
    found = secure_cert.to_identity((tmp_path / "three.bin").read_bytes())
    assert found.certificate_id == newest.certificate_id and found.issuers == newest.issuers


@pytest.mark.parametrize(("key", "peripheral"), [(None, 0), (0, 1)], ids=["alone", "newer than a plain key"])
def test_an_rsa_key_in_the_ds_peripheral_is_named(tmp_path: Path, key: int | None, peripheral: int) -> None:
    identity = mint("rsa-2048", False)
    builder = TlvPartitionBuilder()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.add_ds_data(bytes(1200), bytes(16), 2048, peripheral)
        builder.add_ds_context(1, 2048, peripheral)
        builder.add_tlv_entry(Type.DEVICE_CERTIFICATE, 0, identity.certificate_der(), 0)
        if key is not None:
            builder.add_tlv_entry(Type.PRIVATE_KEY, key, identity.key_der(), 0)
        builder.build_partition(str(tmp_path / "ds.bin"))
    partition = (tmp_path / "ds.bin").read_bytes()
    with pytest.raises(RootletError, match="kept in the chip's eFuses"):
        secure_cert.to_identity(partition)
    assert secure_cert.to_certificates(partition)[0] == identity.certificate


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
