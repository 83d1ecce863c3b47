"""Provisioning templates: just-in-time (JITP), on a device's first connection, and fleet provisioning by claim."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rootlet import aws_names
from rootlet.aws_names import ATTRIBUTES, Name
from rootlet.cloud import preflight, roles, template_check
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput, RootletError
from rootlet.policies import jitp_parameters, rendering
from rootlet.policies.jitp_parameters import PREFIX

if TYPE_CHECKING:
    from cryptography import x509
    from mypy_boto3_iot import IoTClient


def jitp(
    policies: Sequence[str], attributes: Mapping[str, str], *, thing_type: str | None = None, groups: Sequence[str] = ()
) -> dict[str, Any]:
    """A JITP template: the certificate's common name is the thing name. An attribute's value ``{Organization}`` stands for
    that field of the certificate's subject, whose text must be one that AWS takes as an attribute's value: without spaces.

    Raises BadInput for an unknown field, and for names and values that AWS does not take.
    """
    preflight.check_attributes({name: "" if _field(value) else value for name, value in attributes.items()})
    used = {"CommonName", "Id"}
    payload = {name: _value(value, used) for name, value in attributes.items()}
    thing: dict[str, Any] = {"ThingName": {"Ref": PREFIX + "CommonName"}, "AttributePayload": payload}
    return _template(
        [PREFIX + name for name in jitp_parameters.NAMES if name in used], thing, policies, thing_type, groups, PREFIX + "Id"
    )


def claim(
    policies: Sequence[str], *, serial: str = "SerialNumber", thing_type: str | None = None, groups: Sequence[str] = ()
) -> dict[str, Any]:
    """A fleet provisioning template: the device proposes its serial number, which names the thing."""
    thing: dict[str, Any] = {"ThingName": {"Ref": serial}}
    return _template([serial, PREFIX + "Id"], thing, policies, thing_type, groups, PREFIX + "Id")


def claim_policy(arn_prefix: str, template: str) -> dict[str, Any]:
    """The least-privilege policy of a claim certificate: connect, and the topics of this template's provisioning, in JSON.

    ``iot:Connect`` allows any client ID, as in AWS's own example: devices that share a claim have no name yet.
    Raises BadInput for a name that no template can have.
    """
    aws_names.check(Name.TEMPLATE, template)
    asked = [
        "$aws/certificates/create/json",
        "$aws/certificates/create-from-csr/json",
        f"$aws/provisioning-templates/{template}/provision/json",
    ]
    answers = [f"{topic}/{answer}" for topic in asked for answer in ("accepted", "rejected")]
    allowed = {
        "iot:Connect": f"{arn_prefix}:client/*",
        "iot:Publish": [f"{arn_prefix}:topic/{topic}" for topic in asked],
        "iot:Subscribe": [f"{arn_prefix}:topicfilter/{topic}" for topic in answers],
        "iot:Receive": [f"{arn_prefix}:topic/{topic}" for topic in answers],
    }
    statements = [{"Effect": "Allow", "Action": action, "Resource": named} for action, named in allowed.items()]
    return rendering.fitting({"Version": "2012-10-17", "Statement": statements}, "give the template a shorter name")


def attach(iot: "IoTClient", authority: "x509.Certificate", body: Any, role: str) -> tuple[list[str], list[str]]:
    """Give a registered CA a JITP template and switch on its auto-registration. Returns the changes, and what is not known.

    Raises BadInput where the template, the role, or what the template names could provision no device.
    """
    from rootlet.cloud import authorities

    if problems := template_check.check(body):
        raise BadInput(
            "the template " + "; ".join(problems), hint="correct the template, or make one: rootlet cloud jitp template"
        )
    with aws_errors():
        known = authorities.find(iot, authority)
        if known is None:
            raise RootletError(
                "the CA is not registered in the account", hint="register the CA first: rootlet cloud register-ca"
            )
        unknown = roles.check(role, known["certificateArn"].split(":")[4])
        named = template_check.names(body)
        preflight.check_policies(iot, named[Name.POLICY])
        preflight.check_registry(iot, named[Name.TYPE], named[Name.GROUP])
        wanted = {"templateBody": json.dumps(body, sort_keys=True), "roleArn": role}
        described = iot.describe_ca_certificate(certificateId=known["certificateId"])
        same = described.get("registrationConfig") == wanted and known.get("autoRegistrationStatus") == "ENABLE"
        if same:
            return [], unknown
        iot.update_ca_certificate(
            certificateId=known["certificateId"],
            newAutoRegistrationStatus="ENABLE",
            registrationConfig=wanted,  # type: ignore[arg-type]
        )
        return [f"CA {known['certificateId']} provisions devices by this template"], unknown
    raise AssertionError


def _template(
    parameters: Sequence[str],
    thing: dict[str, Any],
    policies: Sequence[str],
    thing_type: str | None,
    groups: Sequence[str],
    identifier: str,
) -> dict[str, Any]:
    for kind, names in ((Name.POLICY, policies), (Name.TYPE, [thing_type] if thing_type else []), (Name.GROUP, groups)):
        for name in names:
            aws_names.check(kind, name)
    if (count := len(thing.get("AttributePayload", ()))) > ATTRIBUTES and not thing_type:
        what = f"the template gives a thing {count} attributes, and {ATTRIBUTES} are allowed without a type"
        raise BadInput(what, hint="give it a --thing-type, or fewer attributes")
    if thing_type:
        thing["ThingTypeName"] = thing_type
    if groups:
        thing["ThingGroups"] = list(groups)
    return {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": thing},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": identifier}, "Status": "ACTIVE"},
            },
            **{
                f"policy{number or ''}": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}}
                for number, policy in enumerate(policies)
            },
        },
    }


def _field(value: str) -> str:
    """The name in ``{name}``; empty where the value is a text."""
    return value[1:-1] if value.startswith("{") and value.endswith("}") else ""


def _value(value: str, used: set[str]) -> Any:
    name = _field(value)
    if not name:
        return value
    if name not in jitp_parameters.NAMES:
        raise BadInput(f"{value} is not a field of a certificate", hint=f"choose from: {', '.join(jitp_parameters.NAMES)}")
    used.add(name)
    return {"Ref": PREFIX + name}
