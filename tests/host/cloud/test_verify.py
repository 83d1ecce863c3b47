"""``rootlet cloud policy verify``: our decisions beside those of TestAuthorization, and each difference named."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import registration
from rootlet.errors import BadInput
from rootlet.pki.authority import Authority
from support.aws_proxy import AwsProxy


class OtherOpinion(AwsProxy):
    """AWS, where it decides one thing otherwise than the sandbox."""

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        status, more, data = super().forward(method, path, headers, body)
        if urlsplit(path).path == "/test-authorization":
            answer = json.loads(data)
            for result in answer["authResults"]:
                if result["authInfo"]["resources"][0].endswith("/climate"):
                    result["authDecision"] = "EXPLICIT_DENY"
                    result["denied"]["explicitDeny"] = {"policies": [{"policyName": "of-a-group"}]}
                    result["missingContextValues"] = ["iot:DomainName"]
            data = json.dumps(answer).encode()
        return status, more, data


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, ["policy", "verify", *map(str, arguments)])


@pytest.fixture
def device(aws: IoTClient, authority: Authority, tmp_path: Path) -> Path:
    identity = authority.issue("verify-1")
    identity.save(tmp_path / "d")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"], services=["shadow"]))
    return tmp_path / "d"


def test_the_sandbox_decides_as_we_do_about_all_that_a_device_does_and_must_not_do(device: Path) -> None:
    done = run(device, "--service", "shadow", "--json")
    assert done.exit_code == 0, done.output
    found = {(one["action"], one["resource"].split(":", 5)[-1]): one for one in json.loads(done.stdout)}
    assert all(one["same"] for one in found.values())
    allowed = {what for what, one in found.items() if one["aws"] == "ALLOWED"}
    assert ("iot:Connect", "client/verify-1") in allowed
    assert ("iot:Publish", "topic/dt/leaf/verify-1/climate") in allowed
    assert ("iot:Publish", "topic/$aws/things/verify-1/shadow/update") in allowed
    refused = found.keys() - allowed
    assert ("iot:Connect", "client/rootlet-another-device") in refused and ("iot:Subscribe", "topicfilter/#") in refused
    assert len(found) > 10, "more than one call's worth"


def test_a_difference_is_shown_with_both_reasons(device: Path, aws: IoTClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with OtherOpinion(aws.meta.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        done = run(device)
    assert done.exit_code == 1
    shown = done.output
    assert "differs iot:Publish on topic/dt/leaf/verify-1/climate" in shown
    assert "Rootlet: ALLOWED: Allow by statement 2 of policy rootlet-leaf" in shown
    assert "AWS: EXPLICIT_DENY: of-a-group" in shown and "AWS did not know iot:DomainName" in shown
    assert "1 of them different" in shown


def test_further_decisions_are_compared_too(device: Path) -> None:
    done = run(device, "--also", "publish", "fleet/news", "--also", "subscribe", "fleet/#", "--json")
    assert done.exit_code == 0
    found = {one["resource"].split(":", 5)[-1]: one["aws"] for one in json.loads(done.stdout)}
    assert found["topic/fleet/news"] == found["topicfilter/fleet/#"] == "IMPLICIT_DENY"
    error = run(device, "--also", "getthingshadow", "verify-1").exception
    assert isinstance(error, BadInput) and "use one of connect, publish, subscribe, receive" in error.hint
