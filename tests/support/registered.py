"""Devices that are registered with a sandbox, and their policies."""

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity

ARN = "arn:aws:iot:us-east-1:000000000000"
Register = Callable[..., DeviceIdentity]


def allow(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": [f"{ARN}:{name}" for name in resources], **more}


CONNECT = allow("iot:Connect", "client/*")
PUBLISH = allow("iot:Publish", "topic/*")
ANY = allow(["iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"], "*")


def arn(identity: DeviceIdentity) -> str:
    return f"{ARN}:cert/{identity.certificate_id}"


def create_policy(aws: IoTClient, name: str, *statements: dict[str, Any]) -> None:
    aws.create_policy(policyName=name, policyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def registering(aws: IoTClient, authority: Authority) -> Register:
    """A function that registers an identity with a policy of these statements, and a thing that has these attributes."""

    def register(thing: str, *statements: dict[str, Any], ca: Authority = authority, **attributes: str) -> DeviceIdentity:
        identity = ca.issue(thing)
        pem = identity.certificate.public_bytes(Encoding.PEM).decode()
        aws.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
        if statements:
            create_policy(aws, thing, *statements)
            aws.attach_policy(policyName=thing, target=arn(identity))
        aws.create_thing(thingName=thing, attributePayload={"attributes": attributes})
        aws.attach_thing_principal(thingName=thing, principal=arn(identity))
        return identity

    return register
