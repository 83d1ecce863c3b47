"""What provisioning on connect needs in an account."""

import json
from typing import Any

import boto3
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority

ROLE = "provisioning"
SUBJECT = "AWS::IoT::Certificate::"


def role() -> str:
    """The ARN of a role that AWS IoT may assume to register things."""
    iam = boto3.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "iot.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    try:
        arn: str = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        return str(iam.get_role(RoleName=ROLE)["Role"]["Arn"])
    managed = "arn:aws:iam::aws:policy/service-role/AWSIoTThingsRegistration"
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=managed)
    return arn


def template(policy: str) -> dict[str, Any]:
    """A thing called as the certificate's common name, with the organization as an attribute; an existing policy."""
    return {
        "Parameters": {f"{SUBJECT}{name}": {"Type": "String"} for name in ("CommonName", "Organization", "Id")},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": f"{SUBJECT}CommonName"},
                    "AttributePayload": {"customer": {"Ref": f"{SUBJECT}Organization"}},
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": f"{SUBJECT}Id"}, "Status": "ACTIVE"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
        },
    }


def register_ca(aws: IoTClient, authority: Authority, body: dict[str, Any] | None = None) -> str:
    """Register a CA with auto-registration, and a template where there is one. Returns its id."""
    config: Any = {"registrationConfig": {"templateBody": json.dumps(body), "roleArn": role()}} if body else {}
    answer = aws.register_ca_certificate(
        caCertificate=authority.certificate.public_bytes(Encoding.PEM).decode(),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        **config,
    )
    return answer["certificateId"]
