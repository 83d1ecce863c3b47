"""``rootlet cloud domain``: what is configured, whether a device could connect, and the sandbox's listener that obeys it."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cli.trust.chain import command as chain
from rootlet.cloud import registration
from rootlet.errors import BadInput
from rootlet.pki import certificates, keys
from rootlet.pki.authority import Authority
from rootlet.pki.certificates import Issuer
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from rootlet.trust.fetch import Offer, fetch
from support.device import BuiltDevice

TLS13_ONLY, TLS12_ONLY = "IoTSecurityPolicy_TLS13_1_3_2022_10", "IoTSecurityPolicy_TLS12_1_2_2022_10"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for these tests alone: they change what all connections get."""
    with Sandbox() as running:
        yield running


def managed(aws: IoTClient, name: str, policy: str | None = None) -> str:
    """A domain that AWS manages, under its name. Returns its host name."""
    more = {"tlsConfig": {"securityPolicy": policy}} if policy else {}
    aws.create_domain_configuration(domainConfigurationName=name, **more)  # type: ignore[arg-type]
    return aws.describe_domain_configuration(domainConfigurationName=name)["domainName"]


def run(sandbox: Sandbox, *arguments: object) -> Result:
    where = ["--address", "127.0.0.1", "--mqtt-port", str(sandbox.facts.mqtt_port)]
    trusted = [] if "--root" in arguments else ["--root", sandbox.facts.root]
    return CliRunner().invoke(cloud, ["domain", *map(str, arguments), *(where + trusted if arguments[0] == "check" else [])])


def test_the_accounts_own_endpoint_and_what_was_created_are_listed(aws: IoTClient, sandbox: Sandbox) -> None:
    host = managed(aws, "listed")
    listed = run(sandbox, "list").output
    assert f"iot:Data-ATS  {sandbox.facts.endpoint}" in listed
    assert f"listed  {host}" in listed and "AWS_MANAGED, DATA, IoTSecurityPolicy_TLS13_1_2_2022_10" in listed
    shown = run(sandbox, "show", host).output
    assert "IoTSecurityPolicy_TLS13_1_2_2022_10 (TLS 1.2, 1.3)" in shown and "OCSP stapling   off" in shown
    error = run(sandbox, "show", "nowhere").exception
    assert isinstance(error, BadInput) and "iot:Data-ATS" in error.hint


def test_a_device_could_connect_to_a_domain_as_it_is_created(aws: IoTClient, sandbox: Sandbox) -> None:
    host = managed(aws, "plain")
    done = run(sandbox, "check", "plain")
    assert done.exit_code == 0, done.output
    look = [f"{host}:{sandbox.facts.mqtt_port}", "--address", "127.0.0.1", "--root", sandbox.facts.root]
    assert CliRunner().invoke(chain, look).exit_code == 0
    unknown = CliRunner().invoke(chain, ["--domain", "nowhere"]).exception
    assert isinstance(unknown, BadInput) and "has no domain nowhere" in unknown.what
    both = CliRunner().invoke(chain, ["--domain", "plain", "--aws"]).exception
    assert isinstance(both, BadInput) and "exclude each other" in both.what
    assert f"plain {host}" in done.output and "A device could connect." in done.output
    assert "Rootlet Sandbox Root CA < Rootlet Sandbox ECDSA M01 < *.iot.us-east-1.localhost" in done.output


def test_a_policy_with_tls_13_only_locks_devices_out(aws: IoTClient, sandbox: Sandbox) -> None:
    host = managed(aws, "modern", TLS13_ONLY)
    done = run(sandbox, "check", "modern")
    assert done.exit_code == 1
    assert f"{TLS13_ONLY}: TLS 1.3, and devices speak TLS 1.2 only" in done.output
    assert "--tls-config securityPolicy=IoTSecurityPolicy_TLS13_1_2_2022_10" in done.output
    assert "sent no certificate" in done.output and "has no TLS 1.2: refused" in sandbox.log()
    served = fetch(host, sandbox.facts.mqtt_port, Offer(version="1.3"), connect_to="127.0.0.1")
    assert served.version == "TLSv1.3"
    aws.update_domain_configuration(domainConfigurationName="modern", tlsConfig={"securityPolicy": TLS12_ONLY})
    assert run(sandbox, "check", "modern").exit_code == 0


def test_a_disabled_domain_is_refused_and_left_out_unless_named(aws: IoTClient, sandbox: Sandbox) -> None:
    host = managed(aws, "off")
    aws.update_domain_configuration(domainConfigurationName="off", domainConfigurationStatus="DISABLED")
    done = run(sandbox, "check", "off")
    assert done.exit_code == 1 and "DISABLED: it accepts no connection" in done.output
    assert "--domain-configuration-status ENABLED" in done.output
    assert "sent no certificate" in done.output and "off is DISABLED: refused" in sandbox.log()
    every = json.loads(run(sandbox, "check", "--json").stdout)
    assert host not in {checked["domain"]["host"] for checked in every}


def test_an_https_domain_is_not_for_devices(aws: IoTClient, sandbox: Sandbox) -> None:
    aws.create_domain_configuration(
        domainConfigurationName="web", authenticationType="AWS_SIGV4", applicationProtocol="MQTT_WSS"
    )
    done = run(sandbox, "check", "web")
    assert done.exit_code == 1 and "AWS_SIGV4, MQTT_WSS: no MQTT by TLS" in done.output


def test_the_credential_provider_is_not_for_devices(sandbox: Sandbox, aws: IoTClient) -> None:
    done = run(sandbox, "check", "iot:CredentialProvider")
    assert done.exit_code == 1 and "CREDENTIAL_PROVIDER: not where devices publish" in done.output
    assert " chain " not in done.output, "its server is not asked"


def test_a_custom_domain_shows_its_own_certificate(aws: IoTClient, sandbox: Sandbox, tmp_path: Path) -> None:
    host = "mqtt.example.localhost"
    key, server_key = keys.generate(), keys.generate()
    root = certificates.root(Subject().name("Partner Root"), key, days=400)
    server = certificates.server([host], server_key.public_key(), Issuer(root, key), days=90)
    acm = boto3.client("acm")
    own = acm.import_certificate(Certificate=server.public_bytes(Encoding.PEM), PrivateKey=keys.pem(server_key))
    checked = acm.request_certificate(DomainName=host)
    aws.create_domain_configuration(
        domainConfigurationName="custom",
        domainName=host,
        serverCertificateArns=[own["CertificateArn"]],
        validationCertificateArn=checked["CertificateArn"],
    )
    (tmp_path / "partner.pem").write_bytes(root.public_bytes(Encoding.PEM))
    done = run(sandbox, "check", host, "--root", tmp_path / "partner.pem")
    assert done.exit_code == 0, done.output
    assert f"Partner Root < {host}" in done.output
    others = run(sandbox, "check", host)
    assert others.exit_code == 1 and "(tls-untrusted-root)" in others.output
    assert run(sandbox, "check", "iot:Data-ATS").exit_code == 0, "the other names show the sandbox's certificate still"


def test_a_device_connects_by_the_name_of_a_domain(
    aws: IoTClient, sandbox: Sandbox, authority: Authority, tmp_path: Path
) -> None:
    host = managed(aws, "for-devices")
    identity = authority.issue("at-a-domain")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    config = {"endpoint": host, "port": sandbox.facts.mqtt_port}
    device = BuiltDevice(tmp_path, identity, config, sandbox.root_pem, resolve={host: "127.0.0.1"})
    with device.boot() as board:
        board.wait_for(r"^\d+ mqtt: first puback", 20)
