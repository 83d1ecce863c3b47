"""``rootlet roots check`` and ``which``; ``rootlet device explain``."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud import explain as explain_cli
from rootlet.cli.trust import roots as cli
from rootlet.cloud import registration
from rootlet.errors import BadInput
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.trust import stores
from rootlet.trust.roots import Manifest, load_manifest
from support.defects import CASES
from support.impostor import Impostor

NOW = dt.datetime.now(dt.UTC)


def test_the_pinned_roots_are_those_that_certifi_has_and_none_of_amazons_is_missing() -> None:
    result = CliRunner().invoke(cli.command, ["check", "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == 0, found
    assert found["missing"] == []
    assert len(found["roots"]) == 5


def test_a_root_that_expires_soon_is_a_problem() -> None:
    result = CliRunner().invoke(cli.command, ["check", "--days-left", "9999"])
    assert result.exit_code == 1
    assert "expires in" in result.output


def test_a_root_that_certifi_dropped_or_that_changed_on_disk_is_a_problem(tmp_path: Path) -> None:
    manifest = load_manifest()
    changed = tmp_path / "root.pem"
    changed.write_bytes(manifest.roots[1].path.read_bytes())
    import dataclasses

    odd = dataclasses.replace(manifest.roots[0], path=changed)
    unknown = dataclasses.replace(manifest.roots[2], sha256="0" * 64)
    first, second = stores.check(Manifest((odd, unknown)), NOW, 30)
    assert "is not the pinned amazon-root-ca-1" in first.problems[0]
    assert any("not in certifi" in problem for problem in second.problems)


def test_a_root_that_the_manifest_lacks_is_named() -> None:
    known = load_manifest().roots
    missing = stores.missing_amazon_roots(Manifest(tuple(root for root in known if root.name != "amazon-root-ca-3")))
    assert missing == ["Amazon Root CA 3"]


def test_which_names_the_root_of_the_chain_served_and_says_what_is_not(tmp_path: Path) -> None:
    case = CASES["sound"]()
    root = tmp_path / "own-root.pem"
    root.write_bytes(case.roots[0].public_bytes(Encoding.PEM))
    with Impostor(list(case.sent), case.key) as server:
        target = ["which", f"{case.host}:{server.port}", "--address", "127.0.0.1"]
        known = CliRunner().invoke(cli.command, [*target, "--root", str(root), "--json"])
        unknown = CliRunner().invoke(cli.command, target)
    assert known.exit_code == 0
    answer = json.loads(known.stdout)
    assert answer["needed"] == {"ecdsa": "own-root.pem"}
    assert "no RSA chain" in answer["problems"][0]
    assert unknown.exit_code == 1
    assert "which is not a root known here" in unknown.output


def test_which_without_a_host_is_wrong_input() -> None:
    assert isinstance(CliRunner().invoke(cli.command, ["which"]).exception, BadInput)


def explained(certificate: x509.Certificate, tmp_path: Path) -> tuple[int, dict[str, dict[str, object]], dict[str, object]]:
    path = tmp_path / "device.crt"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    result = CliRunner().invoke(explain_cli.command, [str(path), "--json"])
    answer = json.loads(result.stdout)
    return result.exit_code, {rule["name"]: rule for rule in answer["rules"]}, answer


def test_a_device_is_explained_from_unknown_to_accepted_to_deactivated(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.issue("explained-1")
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert (code, rules["registered"]["ok"]) == (1, False)
    assert "rootlet cloud register" in str(rules["registered"]["hint"])

    done = registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert code == 0, rules
    assert rules["thing"]["text"] == "explained-1 attached"
    assert rules["policies"]["text"] == "rootlet-leaf"
    assert rules["connect"]["text"] == "as explained-1: Allow by statement 1 of policy rootlet-leaf"

    aws.detach_thing_principal(thingName="explained-1", principal=done.certificate_arn)
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert (code, rules["connect"]["ok"]) == (1, False), "the policy asks for an attached thing"
    aws.attach_thing_principal(thingName="explained-1", principal=done.certificate_arn)

    statement = {"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.create_policy(policyName="out-of-service", policyDocument=document)
    aws.attach_policy(policyName="out-of-service", target=done.certificate_arn)
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert (code, rules["connect"]["ok"]) == (1, False)
    assert "Deny by statement 1 of policy out-of-service" in str(rules["connect"]["text"])
    aws.detach_policy(policyName="out-of-service", target=done.certificate_arn)

    aws.update_certificate(certificateId=identity.certificate_id, newStatus="INACTIVE")
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert (code, rules["status"]["text"]) == (1, "INACTIVE")

    aws.update_certificate(certificateId=identity.certificate_id, newStatus="ACTIVE")
    aws.detach_policy(policyName=done.policies[0], target=done.certificate_arn)
    code, rules, _ = explained(identity.certificate, tmp_path)
    assert (code, rules["policies"]["ok"]) == (1, False)


@pytest.mark.parametrize("auto", [False, True])
def test_a_device_of_a_registered_ca_is_let_in_after_its_first_connection_where_the_ca_registers(
    aws: IoTClient, tmp_path: Path, auto: bool
) -> None:
    ca = Authority.create(
        tmp_path / f"ca-{auto}", b"correct horse battery", name=f"Auto {auto} CA", subject=Subject(organization="Tests")
    )
    aws.register_ca_certificate(
        caCertificate=ca.certificate.public_bytes(Encoding.PEM).decode(),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=auto,
    )
    code, rules, answer = explained(ca.issue("unseen-1").certificate, tmp_path)
    assert code == (0 if auto else 1)
    assert answer["after_first_connection"] is auto
    assert "registered, ACTIVE" in str(rules["issuer"]["text"])
