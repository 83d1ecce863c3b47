"""An identity that a manufacturer put into a module, with Espressif's own tool, is taken over from a dump of its flash."""

import subprocess
import sys
from pathlib import Path

import pytest
from rootlet.board import partitions, secure_cert
from rootlet.board.partitions import Partition
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity, load_certificates
from support.pki_kit import Rootlet

TOOL = Path(sys.executable).with_name("configure_esp_secure_cert.py")


@pytest.fixture(scope="module")
def manufactured(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[DeviceIdentity, bytes]:
    """What Espressif's tool makes of a certificate and a key."""
    work = tmp_path_factory.mktemp("factory")
    identity = authority.issue("module-1")
    identity.save(work / "module-1")
    command = [sys.executable, str(TOOL), "--private-key", "module-1/device.key", "--device-cert", "module-1/device.crt"]
    command += ["--ca-cert", "module-1/issuer.crt", "--target_chip", "esp32", "--secure_cert_type", "cust_flash_tlv"]
    subprocess.run([*command, "--priv_key_algo", "ECDSA", "256", "--skip_flash"], cwd=work, check=True, capture_output=True)
    return identity, (work / "esp_secure_cert_data/esp_secure_cert.bin").read_bytes()


def flash_with(credentials: bytes) -> bytes:
    """The whole flash of a board, as esptool reads it."""
    table = [Partition(partitions.SECURE_CERT, 0x3F, 0x06, 0xD000, 0x2000)]
    flash = bytearray(b"\xff" * 0x10000)
    flash[0x8000:0x8C00] = partitions.encode(table)
    flash[0xD000 : 0xD000 + len(credentials)] = credentials
    return bytes(flash)


@pytest.mark.parametrize("whole", [False, True], ids=["partition", "flash"])
def test_certificate_key_and_issuer_come_out_as_they_went_in(
    whole: bool, rootlet: Rootlet, manufactured: tuple[DeviceIdentity, bytes], tmp_path: Path
) -> None:
    identity, dump = manufactured
    (tmp_path / "dump.bin").write_bytes(flash_with(dump) if whole else dump)
    imported = rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path, "--json").json()
    assert imported["certificate_id"] == identity.certificate_id
    loaded = DeviceIdentity.load(tmp_path / "module-1")
    assert loaded.certificate == identity.certificate and loaded.key_der() == identity.key_der()
    assert loaded.issuers == identity.issuers
    refused = rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path)
    assert refused.code == 2 and "already exists" in refused.err


def test_a_key_that_the_chip_alone_can_use_stays_there(
    rootlet: Rootlet, manufactured: tuple[DeviceIdentity, bytes], tmp_path: Path
) -> None:
    identity, dump = manufactured
    entries = [
        secure_cert.Entry(entry.type, entry.data, entry.subtype, flags=0x80 if entry.type == 2 else entry.flags)
        for entry in secure_cert.decode(dump)
    ]
    (tmp_path / "dump.bin").write_bytes(secure_cert.encode(entries))
    refused = rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path)
    assert refused.code == 1 and "--certificate-only" in refused.err
    assert not (tmp_path / "module-1").exists()
    assert rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path, "--certificate-only").code == 0
    assert load_certificates(tmp_path / "module-1/device.crt") == [identity.certificate]
    assert not (tmp_path / "module-1/device.key").exists()


def test_a_damaged_dump_is_refused(rootlet: Rootlet, manufactured: tuple[DeviceIdentity, bytes], tmp_path: Path) -> None:
    dump = bytearray(manufactured[1])
    dump[100] ^= 1
    (tmp_path / "dump.bin").write_bytes(dump)
    refused = rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path)
    assert refused.code == 1 and "damaged" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["dump.bin"]
