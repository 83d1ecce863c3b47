"""CA directories and device directories: what is in them, who can read it, and what is never overwritten."""

import stat
import subprocess
from pathlib import Path

import pytest
from asn1crypto import keys as asn1_keys
from asn1crypto import pem as armour
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from mypy_boto3_iot import IoTClient
from rootlet.errors import BadInput
from rootlet.pki import keys, storage
from rootlet.pki.authority import Authority, read_certificates
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject, check_thing_name
from support.pki_kit import PASSPHRASE, Rootlet


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_ca_key_is_encrypted_and_its_owners_alone(authority: Authority) -> None:
    assert mode(authority.directory) == 0o700
    assert mode(authority.directory / "ca.key") == 0o600
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in (authority.directory / "ca.key").read_bytes()


def test_the_encryption_is_aes_256_under_600000_rounds_of_pbkdf2_sha256(authority: Authority) -> None:
    _, _, data = armour.unarmor((authority.directory / "ca.key").read_bytes())
    algorithm = asn1_keys.EncryptedPrivateKeyInfo.load(data)["encryption_algorithm"]
    assert (algorithm.kdf, algorithm.kdf_hmac, algorithm.kdf_iterations) == ("pbkdf2", "sha256", 600_000)
    assert (algorithm.encryption_cipher, algorithm.key_length) == ("aes", 32)


def test_openssl_reads_the_ca_key_with_the_passphrase(authority: Authority) -> None:
    key = str(authority.directory / "ca.key")
    command = ["openssl", "pkey", "-in", key, "-passin", "stdin", "-pubout", "-outform", "DER"]
    public = subprocess.run(command, input=PASSPHRASE.encode(), check=True, capture_output=True).stdout
    certificate = subprocess.run(
        ["openssl", "x509", "-in", authority.directory / "ca.crt", "-pubkey", "-noout"], check=True, capture_output=True
    ).stdout
    _, _, expected = armour.unarmor(certificate)
    assert public == expected


def test_a_ca_opens_with_its_passphrase_and_issues(authority: Authority) -> None:
    opened = Authority.load(authority.directory, PASSPHRASE.encode())
    identity = opened.issue("sensor-1")
    identity.certificate.verify_directly_issued_by(authority.certificate)
    assert identity.issuers == (authority.certificate,)


def test_no_repr_shows_a_key(authority: Authority) -> None:
    identity = authority.issue("sensor-1")
    assert "key" not in repr(authority) + repr(identity)


def test_an_identity_comes_back_as_it_was_saved(authority: Authority, tmp_path: Path) -> None:
    identity = authority.issue("plant:7_a-1", subject=Subject(serial_number="SN1"))
    identity.save(tmp_path / "devices/plant")
    loaded = DeviceIdentity.load(tmp_path / "devices/plant")
    assert (loaded.thing, loaded.certificate, loaded.issuers) == ("plant:7_a-1", identity.certificate, identity.issuers)
    assert loaded.key_der() == identity.key_der()
    assert load_der_private_key(loaded.key_der(), None).public_key() == loaded.certificate.public_key()
    assert mode(tmp_path / "devices/plant") == 0o700
    assert mode(tmp_path / "devices/plant/device.key") == 0o600


def test_an_identity_is_never_written_over_another(authority: Authority, tmp_path: Path) -> None:
    first = authority.issue("sensor-1")
    first.save(tmp_path / "sensor-1")
    with pytest.raises(BadInput, match="already exists"):
        authority.issue("sensor-1").save(tmp_path / "sensor-1")
    assert DeviceIdentity.load(tmp_path / "sensor-1").certificate == first.certificate


def test_a_failed_write_leaves_nothing_behind(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_atomic", full)
    with pytest.raises(BadInput, match="No space left"):
        authority.issue("sensor-1").save(tmp_path / "sensor-1")
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_not_the_certificates_is_refused(authority: Authority, tmp_path: Path) -> None:
    authority.issue("sensor-1").save(tmp_path / "sensor-1")
    (tmp_path / "sensor-1/device.key").write_bytes(keys.pem(keys.generate()))
    with pytest.raises(BadInput, match="is not the key of"):
        DeviceIdentity.load(tmp_path / "sensor-1")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "ü", "a\n", "a" * 129, "a" * 65])
def test_a_bad_thing_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        check_thing_name(name)


def test_the_registration_code_becomes_the_common_name(authority: Authority) -> None:
    certificate = authority.prove_possession("0a" * 32)
    assert certificate.subject.rfc4514_string() == f"CN={'0a' * 32}"
    certificate.verify_directly_issued_by(authority.certificate)
    with pytest.raises(BadInput, match="registration code"):
        authority.prove_possession("0a" * 33)


# The commands


def test_ca_create_makes_what_device_issue_uses(rootlet: Rootlet, passphrase: str, tmp_path: Path) -> None:
    directory = tmp_path / "fleet-ca"
    made = rootlet("ca", "create", directory, "-O", "Example", "--json").json()
    assert made["key"] == {"holder": "file"} and made["subject"] == "CN=fleet-ca,O=Example"
    issued = rootlet(
        "device", "issue", "sensor-1", "--ca", directory, "--output", tmp_path / "d", "-O", "A", "--json"
    ).json()
    identity = DeviceIdentity.load(tmp_path / "d/sensor-1")
    assert issued["certificate_id"] == identity.certificate_id
    assert issued["subject"] == "CN=sensor-1,O=A"
    assert identity.certificate.issuer.rfc4514_string() == "CN=fleet-ca,O=Example"


def test_an_intermediates_devices_carry_the_chain_up_to_the_root(
    rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    (tmp_path / "parent").write_text(PASSPHRASE)
    batch = tmp_path / "batch-7"
    options = ("--parent", authority.directory, "--parent-passphrase-file", tmp_path / "parent", "--unit", "Batch 7")
    assert rootlet("ca", "create", batch, *options).code == 0
    assert rootlet("device", "issue", "sensor-1", "--ca", batch, "--output", tmp_path / "d").code == 0
    certificate, above = read_certificates(batch)
    assert above == (authority.certificate,)
    assert DeviceIdentity.load(tmp_path / "d/sensor-1").issuers == (certificate, authority.certificate)
    refused = rootlet("ca", "create", tmp_path / "below", "--parent", batch, "--parent-passphrase-file", tmp_path / "parent")
    assert refused.code == 2 and "path length 0" in refused.err
    assert not (tmp_path / "below").exists()


def test_an_existing_ca_is_left_alone(rootlet: Rootlet, authority: Authority, passphrase: str) -> None:
    before = (authority.directory / "ca.key").read_bytes()
    refused = rootlet("ca", "create", authority.directory)
    assert refused.code == 2 and "already exists" in refused.err
    assert (authority.directory / "ca.key").read_bytes() == before


def test_a_wrong_passphrase_is_refused_and_not_shown(
    rootlet: Rootlet, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", "open sesame, please")
    refused = rootlet("device", "issue", "sensor-1", "--ca", authority.directory, "--output", tmp_path)
    assert refused.code == 2 and "passphrase is wrong" in refused.err
    assert "sesame" not in refused.err + refused.out
    assert list(tmp_path.iterdir()) == []


def test_an_identity_is_issued_again_only_by_force_and_the_old_one_is_kept(
    rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    command = ("device", "issue", "sensor-1", "--ca", authority.directory, "--output", tmp_path)
    assert rootlet(*command).code == 0
    first = DeviceIdentity.load(tmp_path / "sensor-1")
    refused = rootlet(*command)
    assert refused.code == 2 and "--force" in refused.err
    assert DeviceIdentity.load(tmp_path / "sensor-1").certificate == first.certificate
    replaced = Path(rootlet(*command, "--force", "--json").json()["replaced"])
    assert DeviceIdentity.load(replaced).certificate == first.certificate
    assert DeviceIdentity.load(tmp_path / "sensor-1").certificate != first.certificate


def test_no_ca_no_question(rootlet: Rootlet, tmp_path: Path) -> None:
    refused = rootlet("device", "issue", "sensor-1", "--ca", tmp_path / "none", "--output", tmp_path)
    assert refused.code == 2 and "rootlet ca create" in refused.err


def test_a_devices_certificate_is_no_ca(rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path) -> None:
    authority.issue("sensor-1").save(tmp_path / "sensor-1")
    (tmp_path / "sensor-1/device.crt").rename(tmp_path / "sensor-1/ca.crt")
    (tmp_path / "sensor-1/device.key").rename(tmp_path / "sensor-1/ca.key")
    refused = rootlet("device", "issue", "sensor-2", "--ca", tmp_path / "sensor-1", "--output", tmp_path)
    assert refused.code == 2 and "is not a CA" in refused.err


def test_prove_possession_writes_what_aws_asks_for(
    rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    target = tmp_path / "verification.crt"
    ran = rootlet("ca", "prove-possession", "66" * 32, "--ca", authority.directory, "-o", target)
    assert ran.code == 0
    certificate = x509.load_pem_x509_certificate(target.read_bytes())
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.rfc4514_string() == f"CN={'66' * 32}"
    refused = rootlet("ca", "prove-possession", "67" * 32, "--ca", authority.directory, "-o", target)
    assert refused.code == 2 and "already exists" in refused.err
    assert x509.load_pem_x509_certificate(target.read_bytes()) == certificate


def test_aws_iot_accepts_the_proof_and_no_other_codes(aws: IoTClient, tmp_path: Path) -> None:
    """The sandbox checks it as AWS does: the code in the common name, the CA's signature under it."""
    authority = Authority.create(tmp_path / "ca", PASSPHRASE.encode(), name="Registered CA", subject=Subject())
    ca = authority.certificate.public_bytes(Encoding.PEM).decode()
    wrong = authority.prove_possession("0a" * 32).public_bytes(Encoding.PEM).decode()
    with pytest.raises(ClientError):
        aws.register_ca_certificate(caCertificate=ca, verificationCertificate=wrong)
    code = aws.get_registration_code()["registrationCode"]
    proof = authority.prove_possession(code).public_bytes(Encoding.PEM).decode()
    assert aws.register_ca_certificate(caCertificate=ca, verificationCertificate=proof, setAsActive=True)["certificateId"]


def test_show_needs_no_passphrase(rootlet: Rootlet, authority: Authority) -> None:
    assert rootlet("ca", "show", authority.directory, "--json").json()["subject"] == "CN=Test Fleet CA,O=Tests"
