"""Clients that nobody here wrote, with our credentials: the AWS IoT Device SDK, mosquitto, and what sandbox up prints."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.pki.authority import Authority
from rootlet.sandbox.sandbox import Sandbox
from support.processes import survivors

MakeFiles = Callable[[str], Path]


@pytest.fixture
def files(aws: IoTClient, authority: Authority, tmp_path: Path) -> MakeFiles:
    """The directory of a registered device, as ``rootlet device issue`` leaves it."""

    def make(thing: str) -> Path:
        identity = authority.issue(thing)
        identity.save(tmp_path / thing)
        registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
        return tmp_path / thing

    return make


def test_the_aws_iot_device_sdk_connects_publishes_and_receives(sandbox: Sandbox, files: MakeFiles) -> None:
    from awscrt import mqtt5
    from awsiot import mqtt5_client_builder

    device = files("aws-sdk")
    success: Future[int] = Future()
    stopped: Future[None] = Future()
    received: Future[bytes] = Future()
    client = mqtt5_client_builder.mtls_from_path(
        cert_filepath=str(device / "device.crt"),
        pri_key_filepath=str(device / "device.key"),
        endpoint="localhost",
        port=sandbox.facts.mqtt_port,
        ca_filepath=str(sandbox.root_pem),
        client_id="aws-sdk",
        on_lifecycle_connection_success=lambda data: success.set_result(int(data.connack_packet.reason_code)),
        on_lifecycle_connection_failure=lambda data: success.set_exception(data.exception),
        on_lifecycle_stopped=lambda _: stopped.set_result(None),
        on_publish_received=lambda data: received.set_result(data.publish_packet.payload),
    )
    client.start()
    try:
        assert success.result(20) == 0
        filters = [mqtt5.Subscription("cmd/leaf/aws-sdk/request", mqtt5.QoS.AT_LEAST_ONCE)]
        granted = client.subscribe(mqtt5.SubscribePacket(filters)).result(20)
        assert granted.reason_codes == [1]
        own = mqtt5.PublishPacket(topic="dt/leaf/aws-sdk/climate", payload=b"{}", qos=mqtt5.QoS.AT_LEAST_ONCE)
        assert client.publish(own).result(20).puback.reason_code == 0
        others = mqtt5.PublishPacket(topic="dt/leaf/other/climate", payload=b"{}", qos=mqtt5.QoS.AT_LEAST_ONCE)
        assert client.publish(others).result(20).puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED
        import boto3

        boto3.client("iot-data").publish(topic="cmd/leaf/aws-sdk/request", payload=b"hello", qos=1)
        assert received.result(20) == b"hello"
    finally:
        client.stop()
        stopped.result(20)


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients is not installed")
def test_mosquitto_pub_is_let_in_and_kept_to_its_topics(sandbox: Sandbox, files: MakeFiles) -> None:
    device = files("mosquitto")

    def publish(topic: str) -> subprocess.CompletedProcess[str]:
        command = ["mosquitto_pub", "-h", "localhost", "-p", str(sandbox.facts.mqtt_port), "-i", "mosquitto", "-q", "1"]
        command += ["--cafile", str(sandbox.root_pem), "--cert", str(device / "device.crt"), "--key"]
        command += [str(device / "device.key"), "-t", topic, "-m", "{}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    done = publish("dt/leaf/mosquitto/climate")
    assert done.returncode == 0, done.stderr
    assert publish("dt/leaf/other/climate").returncode != 0


@pytest.fixture
def exported(tmp_path: Path) -> Iterator[str]:
    """What ``rootlet sandbox up`` prints."""
    command = [sys.executable, "-m", "rootlet.cli.main", "sandbox", "up", "--api-port", "0", "--mqtt-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        yield "".join(lines)
        process.send_signal(signal.SIGINT)
    assert not survivors([process.pid])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def in_a_shell(exported: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in a shell that was given what sandbox up printed, and nothing of AWS's beside it."""
    return subprocess.run(
        ["/bin/sh", "-e", "-c", f"{exported}\n{command}"],
        env=clean_environment() | {"HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_sandbox_up_prints_is_all_that_boto3_needs(exported: str) -> None:
    code = "import boto3; print(boto3.client('iot').describe_endpoint(endpointType='iot:Data-ATS')['endpointAddress'])"
    done = in_a_shell(exported, f'{sys.executable} -c "{code}"')
    assert re.fullmatch(r"\w+-ats\.iot\.us-east-1\.localhost\n", done.stdout), done.stderr


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_what_sandbox_up_prints_is_all_that_the_aws_cli_needs(exported: str) -> None:
    made = in_a_shell(exported, "aws iot create-thing --thing-name by-cli")
    assert json.loads(made.stdout)["thingName"] == "by-cli", made.stderr
    refused = in_a_shell(exported, "aws iot describe-thing --thing-name nobody")
    assert "ResourceNotFoundException" in refused.stderr
