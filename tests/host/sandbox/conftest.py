"""Devices of the sandbox under test."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from support.registered import Register, arn, create_policy


@pytest.fixture
def register(aws: IoTClient, authority: Authority) -> Register:
    """Register an identity with a policy of these statements, and a thing of its name that has these attributes."""

    def make(thing: str, *statements: dict[str, Any], ca: Authority = authority, **attributes: str) -> DeviceIdentity:
        identity = ca.issue(thing)
        pem = identity.certificate.public_bytes(Encoding.PEM).decode()
        aws.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
        if statements:
            create_policy(aws, thing, *statements)
            aws.attach_policy(policyName=thing, target=arn(identity))
        aws.create_thing(thingName=thing, attributePayload={"attributes": attributes})
        aws.attach_thing_principal(thingName=thing, principal=arn(identity))
        return identity

    return make
