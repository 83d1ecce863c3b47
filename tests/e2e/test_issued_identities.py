"""Whatever way an identity was issued, a device that carries it connects: the Unix port, the sandbox, mutual TLS."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.pki import keys
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice
from support.private_ca import private_ca
from support.softhsm import make_token, softhsm_installed

SECRET = "correct horse battery staple"
ENVIRONMENT = {"ROOTLET_CA_PASSPHRASE": SECRET, "ROOTLET_PARENT_PASSPHRASE": SECRET}


def rootlet(work: Path, *arguments: str | Path, **environment: str) -> None:
    command = [sys.executable, "-m", "rootlet.cli.main", *map(str, arguments)]
    subprocess.run(command, cwd=work, env=os.environ | ENVIRONMENT | environment, check=True, capture_output=True)


def rsa_device(work: Path) -> DeviceIdentity:
    rootlet(work, "ca", "create", "ca", "--key-type", "rsa-2048")
    rootlet(work, "device", "issue", "issued-rsa", "--ca", "ca", "--key-type", "rsa-2048")
    return DeviceIdentity.load(work / "devices/issued-rsa")


def below_p384_intermediates(work: Path) -> DeviceIdentity:
    rootlet(work, "ca", "create", "fleet", "--key-type", "ec-p384")
    rootlet(work, "ca", "create", "customer", "--parent", "fleet", "--path-length", "1", "--key-type", "ec-p384")
    rootlet(work, "ca", "create", "batch", "--parent", "customer")
    rootlet(work, "device", "issue", "issued-below", "--ca", "batch", "--key-type", "ec-p384")
    return DeviceIdentity.load(work / "devices/issued-below")


def from_a_request(work: Path) -> DeviceIdentity:
    key = keys.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issued-csr")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    (work / "device.csr").write_bytes(request.public_bytes(Encoding.PEM))
    rootlet(work, "ca", "create", "ca")
    rootlet(work, "device", "issue", "--csr", "device.csr", "--ca", "ca")
    return DeviceIdentity("issued-csr", load_certificates(work / "devices/issued-csr/device.crt")[0], key)


def from_a_request_with_p521(work: Path) -> DeviceIdentity:
    """AWS takes such requests (CreateCertificateFromCsr), and so does Rootlet: the key is made elsewhere."""
    rootlet(work, "ca", "create", "ca")
    openssl = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-nodes", "-batch"]
    more = ["-subj", "/CN=issued-p521", "-keyout", "device.key", "-out", "device.csr"]
    subprocess.run([*openssl, *more], cwd=work, check=True, capture_output=True)
    rootlet(work, "device", "issue", "--csr", "device.csr", "--ca", "ca")
    certificate = load_certificates(work / "devices/issued-p521/device.crt")[0]
    return DeviceIdentity("issued-p521", certificate, keys.load(work / "device.key"))


def from_a_token(work: Path) -> DeviceIdentity:
    if not softhsm_installed():
        pytest.skip("softhsm2 is not installed")
    hsm = make_token(work)
    environment = hsm.environment | {"ROOTLET_CA_PIN": hsm.pin}
    rootlet(work, "ca", "create", "ca", *hsm.options, **environment)
    rootlet(work, "device", "issue", "issued-token", "--ca", "ca", **environment)
    return DeviceIdentity.load(work / "devices/issued-token")


def from_kms(work: Path) -> DeviceIdentity:
    rootlet(work, "ca", "create", "ca", "--key-in", "kms")
    rootlet(work, "device", "issue", "issued-kms", "--ca", "ca")
    return DeviceIdentity.load(work / "devices/issued-kms")


def from_a_batch(work: Path) -> DeviceIdentity:
    rootlet(work, "ca", "create", "ca")
    rootlet(work, "device", "issue-batch", "batch", "--ca", "ca", "--count", "3", "--pattern", "issued-batch-#")
    rootlet(work, "device", "unpack", "batch", "issued-batch-2")
    return DeviceIdentity.load(work / "devices/issued-batch-2")


def from_aws(work: Path) -> DeviceIdentity:
    made = boto3.client("iot").create_keys_and_certificate(setAsActive=True)
    (work / "downloads").mkdir()
    (work / "downloads/1-certificate.pem.crt").write_text(made["certificatePem"])
    (work / "downloads/1-private.pem.key").write_text(made["keyPair"]["PrivateKey"])
    rootlet(work, "device", "import", "downloads", "--thing", "issued-by-aws")
    return DeviceIdentity.load(work / "devices/issued-by-aws")


def from_private_ca(work: Path) -> DeviceIdentity:
    rootlet(work, "ca", "connect", "ca", private_ca())
    rootlet(work, "device", "issue", "issued-pca", "--ca", "ca")
    return DeviceIdentity.load(work / "devices/issued-pca")


@pytest.mark.parametrize(
    "issue",
    [
        rsa_device,
        below_p384_intermediates,
        from_a_request,
        from_a_request_with_p521,
        from_a_token,
        from_kms,
        from_a_batch,
        from_aws,
        from_private_ca,
    ],
)
def test_a_device_with_this_identity_connects(
    issue: Callable[[Path], DeviceIdentity], sandbox: Sandbox, aws: IoTClient, tmp_path: Path
) -> None:
    identity = issue(tmp_path)
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    endpoint = sandbox.facts.endpoint
    config = {"endpoint": endpoint, "port": sandbox.facts.mqtt_port}
    device = BuiltDevice(tmp_path, identity, config, sandbox.root_pem, resolve={endpoint: "127.0.0.1"})
    with device.boot() as board:
        board.wait_for(rf"^\d+ mqtt: connected as {identity.thing},", 20)
        board.wait_for(r"^\d+ mqtt: first puback", 20)
