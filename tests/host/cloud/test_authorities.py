"""CAs that the account trusts: with proof, in two halves, without proof; and what it does not take."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cli.identity import ca as ca_cli
from rootlet.cloud import authorities
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", PASSPHRASE)
    directory = tmp_path / "fleet-ca"
    Authority.create(directory, PASSPHRASE.encode(), name=f"CA of {tmp_path.name}", subject=Subject(organization="Acme"))
    return directory


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def status(aws: IoTClient, ca: Path) -> str:
    from rootlet.pki.identity import load_certificates

    known = authorities.find(aws, load_certificates(ca / "ca.crt")[0])
    return str(known["status"]) if known else "unknown"


def test_a_ca_is_registered_in_one_go_and_a_second_time_changes_nothing(aws: IoTClient, ca: Path) -> None:
    first = run("register-ca", ca)
    assert first.exit_code == 0, first.output
    assert "(DEFAULT)" in first.output
    assert status(aws, ca) == "ACTIVE"
    assert "nothing to change" in run("register-ca", ca).output


def test_auto_registration_is_switched_on_and_off(aws: IoTClient, ca: Path) -> None:
    run("register-ca", ca)
    assert "auto-registration: ENABLE" in run("register-ca", ca, "--auto-registration").output
    assert "auto-registration: DISABLE" in run("register-ca", ca).output


def test_the_two_halves_meet_where_the_manufacturer_holds_the_key(aws: IoTClient, ca: Path, tmp_path: Path) -> None:
    code = json.loads(run("register-ca", "--request", "--json").stdout)["registration_code"]
    proof = tmp_path / "verification.crt"
    arguments = ["prove-possession", code, "--ca", str(ca), "-o", str(proof)]
    assert CliRunner().invoke(ca_cli.command, arguments).exit_code == 0
    done = run("register-ca", ca / "ca.crt", "--complete", proof)
    assert done.exit_code == 0, done.output
    assert status(aws, ca) == "ACTIVE"


def test_a_verification_certificate_with_another_code_is_refused_with_the_reason(
    aws: IoTClient, ca: Path, tmp_path: Path
) -> None:
    proof = tmp_path / "verification.crt"
    CliRunner().invoke(ca_cli.command, ["prove-possession", "f" * 64, "--ca", str(ca), "-o", str(proof)])
    result = run("register-ca", ca / "ca.crt", "--complete", proof)
    assert isinstance(result.exception, RootletError)
    assert "RegistrationCodeValidationException" in result.exception.what
    assert status(aws, ca) == "unknown"


def test_a_verification_certificate_of_another_ca_is_refused(aws: IoTClient, ca: Path, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", PASSPHRASE.encode(), name="Other", subject=Subject())
    proof = tmp_path / "verification.crt"
    made = other.prove_possession(authorities.registration_code(aws))
    proof.write_bytes(made.public_bytes(Encoding.PEM))
    assert isinstance(run("register-ca", ca / "ca.crt", "--complete", proof).exception, RootletError)
    assert status(aws, ca) == "unknown"


def test_sni_only_needs_no_key(aws: IoTClient, ca: Path) -> None:
    assert "(SNI_ONLY)" in run("register-ca", ca / "ca.crt", "--sni-only").output
    assert status(aws, ca) == "ACTIVE"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["register-ca"], "no CA is named"),
        (["register-ca", "{ca}/ca.crt"], "without its key"),
        (["register-ca", "{ca}/ca.crt", "--complete", "x", "--sni-only"], "give one of them"),
    ],
)
def test_wrong_input_is_named(aws: IoTClient, ca: Path, arguments: list[str], words: str) -> None:
    error = run(*[argument.format(ca=ca) for argument in arguments]).exception
    assert isinstance(error, RootletError)
    assert words in error.what + error.hint


def test_a_devices_certificate_is_no_ca(aws: IoTClient, ca: Path, tmp_path: Path) -> None:
    device = Authority.load(ca, PASSPHRASE.encode()).issue("no-ca")
    device.save(tmp_path / "device")
    error = run("register-ca", tmp_path / "device" / "device.crt", "--sni-only").exception
    assert isinstance(error, RootletError)
    assert "is not a CA certificate" in error.what
