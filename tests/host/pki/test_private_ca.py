"""A CA in AWS Private CA issues devices: AWS keeps its key and makes the certificates, the devices' keys stay here."""

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.errors import BadInput, RootletError
from rootlet.factory.signing import SigningDesk
from rootlet.pki import batch, certificates, keys, private_ca
from rootlet.pki.authority import Authority
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.pki.subject import Subject
from support.pki_kit import Rootlet
from support.private_ca import private_ca as made_ca

Lint = Callable[[x509.Certificate], list[str]]


@pytest.fixture
def ca(aws: IoTClient, rootlet: Rootlet, tmp_path: Path) -> Path:
    """The directory of a private CA. No passphrase is set: none is needed."""
    assert rootlet("ca", "connect", tmp_path / "fleet-ca", made_ca()).code == 0
    return tmp_path / "fleet-ca"


def test_a_directory_names_the_ca_and_holds_no_key(ca: Path, rootlet: Rootlet) -> None:
    assert sorted(path.name for path in ca.iterdir()) == ["ca.crt", "ca.json"]
    record = json.loads((ca / "ca.json").read_text())
    assert record["holder"] == "aws-private-ca" and record["authority"].startswith("arn:aws:acm-pca:us-east-1:")
    shown = rootlet("ca", "show", ca).out
    assert "CA CN=Private Root,O=Example Fleet (EC P-256)" in shown and record["authority"] in shown


def local_issuer() -> Issuer:
    key = keys.generate()
    return Issuer(certificates.root(Subject().name("A root"), key, days=400), key)


@pytest.mark.parametrize("algorithm", ["EC_prime256v1", "RSA_2048"])
def test_a_device_is_issued_with_the_subject_and_the_days_that_were_asked_for(
    algorithm: str, aws: IoTClient, rootlet: Rootlet, lint: Lint, tmp_path: Path
) -> None:
    assert rootlet("ca", "connect", tmp_path / "ca", made_ca(algorithm=algorithm)).code == 0
    more = ("--organization", "Customer A", "--serial", "SN-1", "--days", "30", "--output", tmp_path)
    assert rootlet("device", "issue", "pca-1", "--ca", tmp_path / "ca", *more).code == 0
    identity = DeviceIdentity.load(tmp_path / "pca-1")
    certificate = identity.certificate
    (root,) = identity.issuers
    certificate.verify_directly_issued_by(root)
    assert root == load_certificates(tmp_path / "ca/ca.crt")[0]
    assert set(certificate.subject) == set(Subject(organization="Customer A", serial_number="SN-1").name("pca-1"))
    valid = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    assert dt.timedelta(days=29, hours=23) < valid <= dt.timedelta(days=30)
    by_file = certificates.device(certificate.subject, certificate.public_key(), local_issuer(), days=30)  # type: ignore[arg-type]
    profile = {(extension.oid, extension.critical) for extension in by_file.extensions}
    assert {(extension.oid, extension.critical) for extension in certificate.extensions} == profile
    for kind in (x509.KeyUsage, x509.ExtendedKeyUsage, x509.BasicConstraints):
        assert certificate.extensions.get_extension_for_class(kind) == by_file.extensions.get_extension_for_class(kind)
    assert lint(certificate) == []


def test_a_request_is_certified_and_its_subject_is_not_taken(ca: Path, rootlet: Rootlet, tmp_path: Path) -> None:
    command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", "k", "-subj", "/CN=pca-2/O=Whatever", "-out", "r.csr"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    done = rootlet("device", "issue", "--csr", tmp_path / "r.csr", "--ca", ca, "-O", "Customer B", "--output", tmp_path)
    assert done.code == 0, done.err
    (certificate,) = load_certificates(tmp_path / "pca-2/device.crt")
    assert set(certificate.subject) == set(Subject(organization="Customer B").name("pca-2"))


def test_a_batch_is_issued_and_resumed(ca: Path, rootlet: Rootlet, tmp_path: Path) -> None:
    command = ("device", "issue-batch", tmp_path / "b", "--ca", ca, "--count", "3", "--pattern", "pca-b#", "--json")
    assert rootlet(*command).json()["issued"] == 3
    again = rootlet(*command).json()
    assert (again["issued"], again["kept"]) == (0, 3)
    for identity in batch.read(tmp_path / "b"):
        assert identity.key.public_key() == identity.certificate.public_key()
        identity.certificate.verify_directly_issued_by(load_certificates(ca / "ca.crt")[0])


def test_the_ca_is_registered_with_aws_iot(ca: Path, aws: IoTClient) -> None:
    from click.testing import CliRunner
    from rootlet.cli.cloud.group import command as cloud

    done = CliRunner().invoke(cloud, ["register-ca", str(ca), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    described = aws.describe_ca_certificate(certificateId=json.loads(done.stdout)["id"])["certificateDescription"]
    assert described["status"] == "ACTIVE" and described["certificateMode"] == "DEFAULT"


def test_a_key_without_a_request_is_not_certified(ca: Path) -> None:
    authority = Authority.load(ca, None)
    with pytest.raises(BadInput, match="only by its owner's certificate request"):
        authority.certify("pca-3", keys.generate().public_key())
    with pytest.raises(BadInput, match="signs certificate requests only"):
        authority.create(ca.with_name("below"), b"correct horse", name="Below", parent=authority)


def test_a_factory_line_refuses_it_before_its_first_board(ca: Path) -> None:
    plan: Any = None  # which is not looked at before
    with pytest.raises(BadInput, match="which a line cannot use"):
        SigningDesk(lambda: Authority.load(ca, None), plan)


def test_a_ca_that_cannot_issue_is_named(aws: IoTClient, rootlet: Rootlet, tmp_path: Path) -> None:
    waiting = rootlet("ca", "connect", tmp_path / "ca", made_ca(active=False))
    assert waiting.code == 2 and "is PENDING_CERTIFICATE" in waiting.err
    unknown = rootlet(
        "ca", "connect", tmp_path / "ca", f"arn:aws:acm-pca:us-east-1:000000000000:certificate-authority/{'0' * 36}"
    )
    assert unknown.code == 1 and "ResourceNotFoundException" in unknown.err
    other = rootlet("ca", "connect", tmp_path / "ca", "fleet-ca")
    assert other.code == 2 and "is not the ARN of a private CA" in other.err
    assert not (tmp_path / "ca").exists()


def test_a_ca_that_was_disabled_refuses_in_one_line(ca: Path, rootlet: Rootlet, tmp_path: Path) -> None:
    arn = json.loads((ca / "ca.json").read_text())["authority"]
    client: Any = boto3.client("acm-pca")
    client.update_certificate_authority(CertificateAuthorityArn=arn, Status="DISABLED")
    refused = rootlet("device", "issue", "pca-4", "--ca", ca, "--output", tmp_path)
    assert refused.code == 1 and "InvalidStateException" in refused.err and "Traceback" not in refused.err
    assert not (tmp_path / "pca-4").exists()


def test_another_certificate_than_was_asked_for_is_refused(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA whose template takes the request's subject, say: the policies would see somebody else."""
    monkeypatch.setattr(private_ca, "TEMPLATE", "template/EndEntityClientAuthCertificate/V1")
    authority = Authority.load(ca, None)
    key = keys.generate()
    request = private_ca.request_for(Subject(organization="Somebody else").name("pca-5"), key)
    with pytest.raises(RootletError, match="made another certificate: CN=pca-5,O=Somebody else"):
        authority.certify("pca-5", key.public_key(), request=request)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Csr": b"nonsense"}, "MalformedCSRException"),
        ({"SigningAlgorithm": "SHA256WITHRSA"}, "InvalidArgsException"),
        ({"TemplateArn": "arn:aws:acm-pca:::template/CodeSigningCertificate/V1"}, "InvalidArgsException"),
        ({"Validity": {"Type": "DAYS", "Value": 4000}}, "ValidationException"),
    ],
)
def test_the_sandbox_refuses_what_aws_refuses(change: dict[str, Any], code: str, aws: IoTClient) -> None:
    request = private_ca.request_for(Subject().name("x"), keys.generate()).public_bytes(Encoding.PEM)
    asked = {
        "CertificateAuthorityArn": made_ca(),
        "Csr": request,
        "SigningAlgorithm": "SHA256WITHECDSA",
        "TemplateArn": "arn:aws:acm-pca:::template/EndEntityClientAuthCertificate/V1",
        "Validity": {"Type": "DAYS", "Value": 10},
    }
    client: Any = boto3.client("acm-pca")
    with pytest.raises(ClientError) as refused:
        client.issue_certificate(**asked | change)
    assert refused.value.response["Error"]["Code"] == code
