"""JITR with our worker, and JITP with our template: devices that nobody registered beforehand."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import jitr, jitr_rules, provisioning
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.policies import rendering
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice, fault_line, no_line
from support.mqtt import MqttClient
from support.provisioning import role

MakeDevice = Callable[[str], BuiltDevice]
PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", PASSPHRASE)
    directory = tmp_path / "fleet-ca"
    Authority.create(directory, PASSPHRASE.encode(), name=f"CA {tmp_path.name}", subject=Subject(organization="Acme"))
    return directory


@pytest.fixture
def policy(aws: IoTClient) -> str:
    name = "self-registration"
    if name not in {entry["policyName"] for entry in aws.list_policies()["policies"]}:
        document = rendering.render("arn:aws:iot:us-east-1:000000000000", "leaf", ["climate"])
        aws.create_policy(policyName=name, policyDocument=json.dumps(document))
    return name


@pytest.fixture
def also(aws: IoTClient) -> str:
    name = rendering.service_policy("jobs")
    if name not in {entry["policyName"] for entry in aws.list_policies()["policies"]}:
        document = rendering.render_service("arn:aws:iot:us-east-1:000000000000", "jobs")
        aws.create_policy(policyName=name, policyDocument=json.dumps(document))
    return name


def attached(aws: IoTClient, device: BuiltDevice) -> set[str]:
    assert device.identity
    arn = aws.describe_certificate(certificateId=device.identity.certificate_id)["certificateDescription"]["certificateArn"]
    return {entry["policyName"] for entry in aws.list_attached_policies(target=arn)["policies"]}


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cloud, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def test_the_worker_lets_in_whom_the_list_names_and_nobody_else(
    make_device: MakeDevice, aws: IoTClient, ca: Path, policy: str, tmp_path: Path
) -> None:
    run("register-ca", ca, "--auto-registration")
    allow = tmp_path / "allow.txt"
    allow.write_text("# the line's first day\nlisted-1\n")
    authority = Authority.load(ca, PASSPHRASE.encode())
    command = [sys.executable, "-m", "rootlet.cli.main", "cloud", "jitr", "run", "--allow", str(allow), "--policy", policy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout and worker.stderr
        assert any("listening" in line for line in worker.stderr)  # it says first which cloud it uses
        device = make_device("listed-1")
        device.identity = authority.issue("listed-1")
        with device.boot() as board:
            fault_line(board, "device-certificate-refused")
            decisions = [json.loads(worker.stdout.readline())]
            while decisions[-1]["thing"] != "listed-1":
                decisions.append(json.loads(worker.stdout.readline()))
            admitted = decisions[-1]
            board.wait_for("telemetry: climate acknowledged", 60)
        (tmp_path / "other").mkdir()
        stranger = BuiltDevice(
            tmp_path / "other", authority.issue("stranger-1"), device.config, device.sandbox_root, device.resolve
        )
        assert stranger.identity
        with stranger.boot() as board:
            fault_line(board, "device-certificate-refused")
            while decisions[-1]["thing"] != "stranger-1":
                decisions.append(json.loads(worker.stdout.readline()))
        worker.send_signal(signal.SIGINT)
        assert worker.wait(10) == 130
    assert admitted["done"] == "activated"
    assert decisions[-1]["done"] == "refused"
    found = aws.describe_certificate(certificateId=stranger.identity.certificate_id)["certificateDescription"]
    assert found["status"] == "INACTIVE"


def test_those_who_came_while_nobody_listened_are_decided_about_at_once(
    make_device: MakeDevice, aws: IoTClient, ca: Path, policy: str
) -> None:
    run("register-ca", ca, "--auto-registration")
    device = make_device("early-1")
    device.identity = Authority.load(ca, PASSPHRASE.encode()).issue("early-1")
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        known = aws.describe_certificate(certificateId=device.identity.certificate_id)["certificateDescription"]
        output = run("jitr", "run", "--issuer", known["caCertificateId"], "--policy", policy, "--once")
        assert {"early-1"} <= {json.loads(line)["thing"] for line in output.splitlines()}
        board.wait_for("telemetry: climate acknowledged", 60)


def test_our_template_provisions_a_never_seen_device_with_its_attributes(
    make_device: MakeDevice, aws: IoTClient, ca: Path, policy: str, tmp_path: Path
) -> None:
    run("register-ca", ca)
    file = tmp_path / "jitp.json"
    run(
        "jitp",
        "template",
        "--policy",
        policy,
        "--attribute",
        "customer={Organization}",
        "--attribute",
        "site=north",
        "-o",
        file,
    )
    assert "is correct" in run("jitp", "check", file)
    attach = ["jitp", "attach", ca, "--template", file, "--role", role()]
    assert "provisions devices by this template" in run(*attach)
    assert "nothing to change" in run(*attach)
    device = make_device("fresh-1")
    device.identity = Authority.load(ca, PASSPHRASE.encode()).issue("fresh-1", subject=Subject(organization="Acme"))
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        assert no_line(board, ["mqtt: connected"])
        board.wait_for("telemetry: climate acknowledged", 60)
    assert aws.describe_thing(thingName="fresh-1")["attributes"] == {"customer": "Acme", "site": "north"}
    found = aws.describe_certificate(certificateId=device.identity.certificate_id)["certificateDescription"]
    assert found["status"] == "ACTIVE"
    assert aws.list_thing_principals(thingName="fresh-1")["principals"] == [found["certificateArn"]]
    attached = aws.list_attached_policies(target=found["certificateArn"])["policies"]
    assert [entry.get("policyName") for entry in attached] == [policy]


def test_an_organization_with_a_space_is_no_attribute_and_the_device_is_not_provisioned(
    aws: IoTClient, sandbox: Sandbox, ca: Path, policy: str, tmp_path: Path
) -> None:
    run("register-ca", ca)
    (tmp_path / "jitp.json").write_text(json.dumps(provisioning.jitp([policy], {"customer": "{Organization}"})))
    run("jitp", "attach", ca, "--template", tmp_path / "jitp.json", "--role", role())
    spaced = Authority.load(ca, PASSPHRASE.encode()).issue("spaced-1", subject=Subject(organization="Example Fleet"))
    for _ in range(2):
        with MqttClient(sandbox, spaced, tmp_path) as client:
            assert not client.is_on()
    known = aws.describe_certificate(certificateId=spaced.certificate_id)["certificateDescription"]
    assert known["status"] == "PENDING_ACTIVATION"
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.describe_thing(thingName="spaced-1")


def test_a_device_of_an_unknown_ca_stays_out(make_device: MakeDevice, aws: IoTClient, ca: Path) -> None:
    device = make_device("nobody-1")
    device.identity = Authority.load(ca, PASSPHRASE.encode()).issue("nobody-1")
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        board.wait_for("backoff: .* attempt 3")
        assert no_line(board, ["mqtt: connected"])
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.describe_certificate(certificateId=device.identity.certificate_id)


def test_the_lambda_decides_as_the_worker_does(
    make_device: MakeDevice, aws: IoTClient, ca: Path, policy: str, also: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code in the template, run as Lambda would run it, on the certificate of a device that waits."""
    run("register-ca", ca, "--auto-registration")
    device = make_device("lambda-1")
    device.identity = Authority.load(ca, PASSPHRASE.encode()).issue("lambda-1")
    template = jitr.template({"allow": ["lambda-1"], "issuers": None}, [policy, also])
    function = template["Resources"]["Activate"]["Properties"]
    for name, value in function["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)
    index: dict[str, object] = {"__name__": "index"}
    exec(compile(function["Code"]["ZipFile"], "index.py", "exec"), index)
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
        done = index["handler"]({"certificateId": device.identity.certificate_id}, None)  # type: ignore[operator]
        assert done["done"] == "activated"
        assert attached(aws, device) == {policy, also}
        board.wait_for("telemetry: climate acknowledged", 60)


def test_the_rules_say_no_where_nothing_says_yes() -> None:
    decide = jitr_rules.decide
    assert decide({"allow": None, "issuers": None}, "t", "c", "a") == (False, "there is no rule")
    assert decide({"allow": ["t"], "issuers": ["other"]}, "t", "c", "a")[0] is False
    assert decide({"allow": ["c"], "issuers": None}, "t", "c", "a")[0] is True
    assert decide({"allow": [], "issuers": ["a"]}, "t", "c", "a")[0] is False
    assert decide({"allow": None, "issuers": ["a"]}, "", "c", "a")[0] is False


def test_a_worker_without_a_rule_or_a_policy_does_not_start(aws: IoTClient, tmp_path: Path) -> None:
    error = CliRunner().invoke(cloud, ["jitr", "run", "--policy", "x"]).exception
    assert isinstance(error, RootletError)
    assert "no rule" in error.what
    error = CliRunner().invoke(cloud, ["jitr", "run", "--issuer", "a", "--policy", "no-such"]).exception
    assert isinstance(error, RootletError)
    assert "no policy no-such" in error.what
