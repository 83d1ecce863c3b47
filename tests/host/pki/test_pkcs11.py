"""A CA whose key is in a PKCS#11 token: SoftHSM here. It signs there, cannot be exported, and its PIN is never shown."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from rootlet.errors import BadInput, RootletError
from rootlet.pki import batch, certificates, keys, pkcs11
from rootlet.pki.authority import Authority
from rootlet.pki.identity import load_certificates
from rootlet.pki.keys import KeyType
from rootlet.pki.subject import Subject
from support.pki_kit import Rootlet
from support.softhsm import SoftHsm, make_token, softhsm_installed

binding = pytest.importorskip("pkcs11")

# One process for all of them: the PKCS#11 library reads SOFTHSM2_CONF once.
pytestmark = [
    pytest.mark.skipif(not softhsm_installed(), reason="softhsm2 is not installed"),
    pytest.mark.xdist_group("softhsm"),
]


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    hsm = make_token(tmp_path_factory.mktemp("softhsm"))
    os.environ.update(hsm.environment)
    return hsm


@pytest.fixture
def pin(softhsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ROOTLET_CA_PIN", softhsm.pin)
    return softhsm.pin


def create(softhsm: SoftHsm, directory: Path, label: str, key_type: KeyType = "ec-p256") -> Authority:
    external = pkcs11.create_key(softhsm.module, softhsm.label, label, softhsm.pin.encode(), key_type)
    return Authority.create_external(directory, external, name=label, subject=Subject())


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-2048"])
def test_a_token_signs_what_pkilint_and_openssl_accept(
    key_type: KeyType, softhsm: SoftHsm, lint: Callable[[x509.Certificate], list[str]], tmp_path: Path
) -> None:
    with create(softhsm, tmp_path / "ca", f"ca-{key_type}", key_type):
        pass
    with Authority.load(tmp_path / "ca", softhsm.pin.encode()) as authority:
        identity = authority.issue("sensor-1")
    identity.certificate.verify_directly_issued_by(authority.certificate)
    assert lint(authority.certificate) + lint(identity.certificate) == []
    (tmp_path / "device.crt").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-x509_strict",
        "-CAfile",
        tmp_path / "ca/ca.crt",
        tmp_path / "device.crt",
    ]
    subprocess.run(command, check=True, capture_output=True)


def test_the_key_never_leaves_the_token(softhsm: SoftHsm, tmp_path: Path) -> None:
    with create(softhsm, tmp_path / "ca", "stays") as authority:
        with pytest.raises(TypeError, match="cannot be exported"):
            authority.issuer.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(TypeError, match="cannot be exported"):
            authority.issuer.key.private_numbers()
    library = binding.lib(str(softhsm.module.resolve()))
    with library.get_token(token_label=softhsm.label).open(user_pin=softhsm.pin) as session:
        key = session.get_key(object_class=binding.ObjectClass.PRIVATE_KEY, label="stays")
        assert key[binding.Attribute.SENSITIVE] and not key[binding.Attribute.EXTRACTABLE]
        with pytest.raises(binding.AttributeSensitive):
            _ = key[binding.Attribute.VALUE]


def test_the_commands_create_issue_and_prove_possession(
    rootlet: Rootlet, softhsm: SoftHsm, pin: str, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet-ca"
    made = rootlet("ca", "create", fleet, "--common-name", "fleet", *softhsm.options, "--json").json()
    assert made["key"]["holder"] == "pkcs11" and not (fleet / "ca.key").exists()
    assert rootlet("device", "issue", "sensor-1", "--ca", fleet, "--output", tmp_path).code == 0
    assert rootlet("ca", "prove-possession", "0a" * 32, "--ca", fleet, "-o", tmp_path / "proof.crt").code == 0
    certificate = load_certificates(fleet / "ca.crt")[0]
    for issued in ("sensor-1/device.crt", "proof.crt"):
        load_certificates(tmp_path / issued)[0].verify_directly_issued_by(certificate)


def test_parent_and_child_may_live_in_one_token(
    rootlet: Rootlet, softhsm: SoftHsm, pin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTLET_PARENT_PIN", pin)
    assert rootlet("ca", "create", tmp_path / "above", "--key-label", "above", *softhsm.options).code == 0
    below = rootlet("ca", "create", tmp_path / "below", "--parent", tmp_path / "above", *softhsm.options)
    assert below.code == 0, below.err
    assert rootlet("device", "issue", "sensor-1", "--ca", tmp_path / "below", "--output", tmp_path).code == 0


def test_a_token_issues_a_batch(softhsm: SoftHsm, tmp_path: Path) -> None:
    with create(softhsm, tmp_path / "ca", "batches") as authority:
        outcome = batch.issue(authority, tmp_path / "batch", batch.BatchRequest([(f"s-{n}", None) for n in range(30)]))
    assert outcome.issued == 30
    for identity in batch.read(tmp_path / "batch"):
        identity.certificate.verify_directly_issued_by(authority.certificate)


def test_a_key_that_is_there_already_is_used_only_when_asked(
    rootlet: Rootlet, softhsm: SoftHsm, pin: str, tmp_path: Path
) -> None:
    with create(softhsm, tmp_path / "first", "shared") as first:
        pass
    refused = rootlet("ca", "create", tmp_path / "second", "--key-label", "shared", *softhsm.options)
    assert refused.code == 2 and "already has a key 'shared'" in refused.err
    assert rootlet("ca", "create", tmp_path / "second", "--use-key", "shared", *softhsm.options).code == 0
    assert load_certificates(tmp_path / "second/ca.crt")[0].public_key() == first.certificate.public_key()


def test_a_creation_that_fails_leaves_no_key_in_the_token(softhsm: SoftHsm, tmp_path: Path) -> None:
    external = pkcs11.create_key(softhsm.module, softhsm.label, "orphan", softhsm.pin.encode(), "ec-p256")
    with pytest.raises(BadInput):
        Authority.create_external(tmp_path / "ca", external, name="orphan", subject=Subject(), days=0)
    with pytest.raises(BadInput, match="no key labelled 'orphan'"):
        pkcs11.use_key(softhsm.module, softhsm.label, "orphan", softhsm.pin.encode())


def test_a_token_that_holds_another_key_is_found_out(softhsm: SoftHsm, tmp_path: Path) -> None:
    with create(softhsm, tmp_path / "ca", "swapped"):
        pass
    other = keys.generate()

    wrong = certificates.root(Subject().name("Other"), other, days=30)
    (tmp_path / "ca/ca.crt").write_bytes(wrong.public_bytes(Encoding.PEM))
    with pytest.raises(BadInput, match="is not the key of the CA's certificate"):
        Authority.load(tmp_path / "ca", softhsm.pin.encode())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"label": "nothing"}, "no token 'nothing'"),
        ({"module": Path("/nonexistent.so")}, "module not found"),
        ({"module": Path("/etc/hostname")}, "refused"),
    ],
)
def test_a_token_that_is_not_there_is_named(softhsm: SoftHsm, change: dict[str, Any], problem: str) -> None:
    where: dict[str, Any] = {"module": softhsm.module, "label": softhsm.label} | change
    with pytest.raises(RootletError, match=problem):
        pkcs11.use_key(where["module"], where["label"], "any", softhsm.pin.encode())


def test_the_pin_is_in_no_log_no_output_and_no_file(
    softhsm: SoftHsm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All that a run says at its loudest, in success and in failure; and all that it writes."""
    (tmp_path / "pin").write_text(softhsm.pin)
    (tmp_path / "wrong").write_text(f"{softhsm.pin}0")
    work = tmp_path / "work"
    work.mkdir()
    said = b""
    script = (
        "import logging, sys; logging.basicConfig(level=1); logging.captureWarnings(True);"
        "from rootlet.cli.main import main; main()"
    )
    runs = (
        (("ca", "create", "ca", *softhsm.options, "--key-label", "quiet"), "pin", 0),
        (("device", "issue", "sensor-1", "--ca", "ca"), "pin", 0),
        (("device", "issue", "sensor-2", "--ca", "ca"), "wrong", 1),
        (("device", "issue-batch", "batch", "--ca", "ca", "--count", "3", "--pattern", "s-#"), "pin", 0),
        (("ca", "create", "ca2", *softhsm.options, "--use-key", "absent"), "pin", 2),
        (("ca", "create", "ca2", *softhsm.options, "--use-key", "quiet"), "wrong", 1),
    )
    for arguments, pin_file, code in runs:
        command = [sys.executable, "-X", "dev", "-c", script, *map(str, arguments), "--pin-file", str(tmp_path / pin_file)]
        ran = subprocess.run(command, cwd=work, capture_output=True, check=False)
        assert ran.returncode == code, ran.stderr.decode()
        said += ran.stdout + ran.stderr
    assert b"the PIN is wrong" in said
    with caplog.at_level(logging.DEBUG), Authority.load(work / "ca", softhsm.pin.encode()) as authority:
        said += repr(authority).encode() + caplog.text.encode()
    written = b"".join(path.read_bytes() for path in work.rglob("*") if path.is_file())
    assert softhsm.pin.encode() not in said + written
