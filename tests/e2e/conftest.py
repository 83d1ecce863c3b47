"""Devices that the sandbox knows, or should not know."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.pki.authority import Authority
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice

MakeDevice = Callable[[str], BuiltDevice]


@pytest.fixture
def make_device(tmp_path: Path, sandbox: Sandbox, authority: Authority) -> MakeDevice:
    """A device of the fleet that trusts the sandbox and would connect to it; not registered."""

    def make(thing: str) -> BuiltDevice:
        facts = sandbox.facts
        return BuiltDevice(
            tmp_path,
            authority.issue(thing),
            {"endpoint": facts.endpoint, "port": facts.mqtt_port},
            sandbox.root_pem,
            {facts.endpoint: "127.0.0.1"},
        )

    return make


@pytest.fixture
def registered(make_device: MakeDevice, aws: IoTClient) -> MakeDevice:
    """The same, registered as ``rootlet cloud register`` does it."""

    def make(thing: str) -> BuiltDevice:
        device = make_device(thing)
        assert device.identity
        registration.register(aws, device.identity, registration.RegistrationRequest("leaf", ["climate"]))
        return device

    return make


@pytest.fixture
def registered_with_less(registered: MakeDevice, aws: IoTClient) -> Callable[[str, str], BuiltDevice]:
    """The same, but its policy lacks the statements of one action, or the resources that end with one topic."""

    def make(thing: str, lacking: str) -> BuiltDevice:
        device = registered(thing)
        assert device.identity
        done = registration.register(aws, device.identity, registration.RegistrationRequest("leaf", ["climate"]))
        document: dict[str, Any] = json.loads(aws.get_policy(policyName=done.policies[0])["policyDocument"])
        document["Statement"] = [entry for entry in document["Statement"] if entry["Action"] != lacking]
        for entry in document["Statement"]:
            if isinstance(entry["Resource"], list):
                entry["Resource"] = [resource for resource in entry["Resource"] if not resource.endswith(lacking)]
        aws.create_policy(policyName=thing, policyDocument=json.dumps(document))
        aws.detach_policy(policyName=done.policies[0], target=done.certificate_arn)
        aws.attach_policy(policyName=thing, target=done.certificate_arn)
        return device

    return make
