"""A CA whose key is in AWS KMS: the sandbox's here. It signs there and cannot be exported."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from rootlet.errors import BadInput, RootletError
from rootlet.pki import kms
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.pki.keys import KeyType
from rootlet.pki.subject import Subject
from support.pki_kit import Rootlet

pytestmark = pytest.mark.usefixtures("aws")


SPELLED = {"ec-p256": "EC P-256", "ec-p384": "EC P-384", "rsa-2048": "RSA 2048"}


@pytest.mark.parametrize("key_type", SPELLED)
def test_kms_signs_what_pkilint_and_openssl_accept(
    key_type: KeyType, rootlet: Rootlet, lint: Callable[[x509.Certificate], list[str]], tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet-ca"
    made = rootlet("ca", "create", fleet, "--key-in", "kms", "--key-type", key_type, "-O", "Example", "--json").json()
    assert made["key_type"] == SPELLED[key_type] and made["key"]["holder"] == "aws-kms"
    assert made["key"]["key"].startswith("arn:aws:kms:")
    assert sorted(path.name for path in fleet.iterdir()) == ["ca.crt", "ca.json"]
    assert rootlet("device", "issue", "sensor-1", "--ca", fleet, "--output", tmp_path).code == 0
    identity = DeviceIdentity.load(tmp_path / "sensor-1")
    identity.certificate.verify_directly_issued_by(load_certificates(fleet / "ca.crt")[0])
    assert lint(identity.certificate) + lint(identity.issuers[0]) == []
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        fleet / "ca.crt",
        tmp_path / "sensor-1/device.crt",
    ]
    subprocess.run(command, check=True, capture_output=True)


def test_a_key_made_before_is_used_by_its_alias(rootlet: Rootlet, tmp_path: Path) -> None:
    client = boto3.client("kms")
    key = client.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    client.create_alias(AliasName="alias/fleet", TargetKeyId=key["KeyId"])
    made = rootlet("ca", "create", tmp_path / "ca", "--key-in", "kms", "--use-key", "alias/fleet", "--json").json()
    assert made["key"]["key"] == key["Arn"]


def test_a_creation_that_fails_schedules_its_key_for_deletion(tmp_path: Path) -> None:
    external = kms.create_key("orphan", "ec-p256")
    with pytest.raises(BadInput):
        Authority.create_external(tmp_path / "ca", external, name="orphan", subject=Subject(), days=0)
    state = boto3.client("kms").describe_key(KeyId=external.record["key"])["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"


@pytest.mark.parametrize(
    "options", [["--days", "0"], ["--common-name", "Fleet\nCA"], ["--parent", "top", "--path-length", "1"]]
)
def test_no_key_is_made_for_a_ca_that_cannot_be(rootlet: Rootlet, tmp_path: Path, options: list[str]) -> None:
    Authority.create(tmp_path / "top", b"correct horse battery staple", name="Top", path_length=1)
    client = boto3.client("kms")
    before = client.list_keys()["Keys"]
    given = [str(tmp_path / "top") if option == "top" else option for option in options]
    assert rootlet("ca", "create", tmp_path / "ca", "--key-in", "kms", *given).code == 2
    assert client.list_keys()["Keys"] == before


def test_an_encryption_key_cannot_be_a_ca(rootlet: Rootlet, tmp_path: Path) -> None:
    key = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    refused = rootlet("ca", "create", tmp_path / "ca", "--key-in", "kms", "--use-key", key)
    assert refused.code == 1 and "AWS KMS did not show the public key" in refused.err
    assert not (tmp_path / "ca").exists()


def test_a_key_that_is_not_there_is_named(rootlet: Rootlet, tmp_path: Path) -> None:
    refused = rootlet("ca", "create", tmp_path / "ca", "--key-in", "kms", "--use-key", "alias/nothing")
    assert refused.code == 1 and "alias/nothing" in refused.err


def test_a_service_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(RootletError, match="could not create a key"):
        kms.create_key("nowhere", "ec-p256")


def test_a_key_on_p521_in_kms_signs_with_sha512(rootlet: Rootlet, tmp_path: Path) -> None:
    key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P521", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    assert rootlet("ca", "create", tmp_path / "ca", "--key-in", "kms", "--use-key", key).code == 0
    assert rootlet("device", "issue", "sensor-1", "--ca", tmp_path / "ca", "--output", tmp_path).code == 0
    issued = DeviceIdentity.load(tmp_path / "sensor-1").certificate
    issued.verify_directly_issued_by(load_certificates(tmp_path / "ca" / "ca.crt")[0])
