"""A certificate that AWS made is taken over from what AWS lets one download, and gets the name of a thing."""

import stat
import zipfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from mypy_boto3_iot import IoTClient
from mypy_boto3_iot.type_defs import CreateKeysAndCertificateResponseTypeDef
from rootlet.board import secure_cert
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity, PublicIdentity, load_certificates
from support.pki_kit import PASSPHRASE, Rootlet


@pytest.fixture
def made(aws: IoTClient) -> CreateKeysAndCertificateResponseTypeDef:
    return aws.create_keys_and_certificate(setAsActive=True)


def console(made: CreateKeysAndCertificateResponseTypeDef, directory: Path) -> Path:
    """The files under the names that the console gives them. Returns the certificate's."""
    directory.mkdir(exist_ok=True)
    start = made["certificateId"]
    (directory / f"{start}-certificate.pem.crt").write_text(made["certificatePem"])
    (directory / f"{start}-private.pem.key").write_text(made["keyPair"]["PrivateKey"])
    (directory / f"{start}-public.pem.key").write_text(made["keyPair"]["PublicKey"])
    return directory / f"{start}-certificate.pem.crt"


def archive(made: CreateKeysAndCertificateResponseTypeDef, path: Path, root: bytes) -> Path:
    """The console's connection package."""
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("sensor-1.cert.pem", made["certificatePem"])
        package.writestr("sensor-1.private.key", made["keyPair"]["PrivateKey"])
        package.writestr("sensor-1.public.key", made["keyPair"]["PublicKey"])
        package.writestr("root-CA.crt", root)
        package.writestr("start.sh", "#!/bin/sh\n")
    return path


@pytest.mark.parametrize("source", ["directory", "file", "archive"])
def test_certificate_and_key_are_found_whatever_their_files_are_called(
    source: str, rootlet: Rootlet, made: CreateKeysAndCertificateResponseTypeDef, authority: Authority, tmp_path: Path
) -> None:
    certificate = console(made, tmp_path / "downloads")
    package = archive(made, tmp_path / "package.zip", authority.certificate.public_bytes(Encoding.PEM))
    path = {"directory": certificate.parent, "file": certificate, "archive": package}[source]
    done = rootlet("device", "import", path, "--thing", "sensor-1", "--output", tmp_path / "devices", "--json").json()
    assert done["thing"] == "sensor-1" and done["certificate_id"] == made["certificateId"]
    directory = tmp_path / "devices/sensor-1"
    loaded = DeviceIdentity.load(directory)
    assert loaded.thing == "sensor-1" and loaded.certificate_id == made["certificateId"]
    assert loaded.key_der() == keys.der(load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), None))  # type: ignore[arg-type]
    assert stat.S_IMODE((directory / "device.key").stat().st_mode) == 0o600


def test_the_name_goes_to_the_board_with_the_identity(
    rootlet: Rootlet, made: CreateKeysAndCertificateResponseTypeDef, tmp_path: Path
) -> None:
    path = console(made, tmp_path / "downloads")
    assert rootlet("device", "import", path, "--thing", "sensor-2", "--output", tmp_path).code == 0
    partition = secure_cert.from_identity(DeviceIdentity.load(tmp_path / "sensor-2"))
    assert secure_cert.to_identity(partition).thing == "sensor-2"
    (tmp_path / "dump.bin").write_bytes(partition)
    assert rootlet("device", "import", tmp_path / "dump.bin", "--output", tmp_path / "again").code == 0
    assert DeviceIdentity.load(tmp_path / "again/sensor-2").thing == "sensor-2"


def test_a_certificate_that_names_no_thing_asks_for_one(
    rootlet: Rootlet, made: CreateKeysAndCertificateResponseTypeDef, tmp_path: Path
) -> None:
    path = console(made, tmp_path / "downloads")
    refused = rootlet("device", "import", path, "--output", tmp_path / "devices")
    assert refused.code == 2
    assert "names no thing: 'AWS IoT Certificate' is not a thing name" in refused.err and "--thing NAME" in refused.err
    assert not (tmp_path / "devices").exists()


def test_a_certificate_without_its_key_is_imported_alone_where_that_is_asked_for(
    rootlet: Rootlet, made: CreateKeysAndCertificateResponseTypeDef, tmp_path: Path
) -> None:
    path = console(made, tmp_path / "downloads")
    path.with_name(path.name.replace("certificate.pem.crt", "private.pem.key")).unlink()
    command = ("device", "import", path, "--thing", "sensor-3", "--output", tmp_path)
    refused = rootlet(*command)
    assert refused.code == 2 and "has no key of its certificate" in refused.err and "--certificate-only" in refused.err
    assert rootlet(*command, "--certificate-only").code == 0
    assert not (tmp_path / "sensor-3/device.key").exists()
    assert PublicIdentity.load(tmp_path / "sensor-3").thing == "sensor-3"


def test_two_downloads_in_one_directory_are_told_apart_by_the_file_that_is_named(
    rootlet: Rootlet, aws: IoTClient, tmp_path: Path
) -> None:
    first, second = (console(aws.create_keys_and_certificate(), tmp_path / "downloads") for _ in range(2))
    refused = rootlet("device", "import", first.parent, "--thing", "x", "--output", tmp_path)
    assert refused.code == 2 and "certificates of several devices" in refused.err
    for number, path in enumerate((first, second)):
        assert rootlet("device", "import", path, "--thing", f"x-{number}", "--output", tmp_path).code == 0
        (loaded,) = load_certificates(tmp_path / f"x-{number}/device.crt")
        assert loaded == x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("root.pem", "a CA", "has no device's certificate"),
        ("broken.zip", "PK\x03\x04nonsense", "has no device's certificate"),
        ("broken.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has no device's certificate"),
    ],
)
def test_what_is_no_download_is_refused(
    name: str, content: str, words: str, rootlet: Rootlet, authority: Authority, tmp_path: Path
) -> None:
    if content == "a CA":
        content = authority.certificate.public_bytes(Encoding.PEM).decode()
    (tmp_path / name).write_text(content)
    refused = rootlet("device", "import", tmp_path / name, "--thing", "x", "--output", tmp_path / "devices")
    assert refused.code == 2 and words in refused.err
    assert not (tmp_path / "devices").exists()


def test_an_encrypted_key_is_named(rootlet: Rootlet, made: CreateKeysAndCertificateResponseTypeDef, tmp_path: Path) -> None:
    path = console(made, tmp_path / "downloads")
    key = path.with_name(path.name.replace("certificate.pem.crt", "private.pem.key"))
    private = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(keys.encrypted_pem(private, PASSPHRASE.encode()))  # type: ignore[arg-type]
    refused = rootlet("device", "import", path, "--thing", "x", "--output", tmp_path)
    assert refused.code == 2 and "is encrypted" in refused.err and "openssl pkcs8" in refused.err
