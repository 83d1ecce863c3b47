"""What is wrong with a JITP template: what AWS refuses, and what it takes and can never fill for any device.

Sources: AWS IoT Core developer guide, "Provisioning templates" and "Just-in-time provisioning".
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography import x509

from rootlet import aws_names
from rootlet.aws_names import ATTRIBUTES, Name
from rootlet.errors import BadInput
from rootlet.policies import document, jitp_parameters
from rootlet.policies.jitp_parameters import PREFIX

MAX_BODY = 10240  # characters of a template body (AWS IoT quotas)
_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_OVERRIDES = {"DO_NOTHING", "REPLACE", "FAIL", "MERGE"}
_SUBSTITUTED = re.compile(r"\$\{([^!][^}]*)\}")


def check(body: Any) -> list[str]:
    """The faults of a JITP template, one line each; empty where there is a device that it can provision."""
    if not isinstance(body, dict):
        return ["is not a JSON object"]
    problems = [f"{key} is missing" for key in ("Parameters", "Resources") if not isinstance(body.get(key), dict)]
    if problems:
        return problems
    problems += _parameters(body["Parameters"])
    problems += _resources(body["Resources"])
    undeclared = _references(body["Resources"]) - set(body["Parameters"])
    problems += [f"{reference} is used, but not declared in Parameters" for reference in sorted(undeclared)]
    if len(json.dumps(body)) > MAX_BODY:
        problems.append(f"is longer than {MAX_BODY} characters")
    return problems


def check_device(body: Any, certificate: x509.Certificate) -> list[str]:
    """Why a template that ``check`` accepts does not provision the device of this certificate; empty where it does."""
    given = jitp_parameters.of_certificate(certificate)
    missing = [name for name, about in body["Parameters"].items() if name not in given and "Default" not in about]
    if missing:
        return [f"the certificate has no {name.removeprefix(PREFIX)}, which Parameters declares" for name in missing]
    values = {name: about["Default"] for name, about in body["Parameters"].items() if "Default" in about} | given
    thing = next(entry["Properties"] for entry in body["Resources"].values() if entry["Type"] == _THING)
    return list(_thing(_filled(thing, values)))


def names(body: Any) -> dict[Name, list[str]]:
    """The policies, thing types and thing groups that a template names, which have to be in the account."""
    properties = [entry["Properties"] for entry in body["Resources"].values()]
    found = {
        Name.POLICY: [entry.get("PolicyName") for entry in properties],
        Name.TYPE: [entry.get("ThingTypeName") for entry in properties],
        Name.GROUP: [group for entry in properties for group in entry.get("ThingGroups", [])],
    }
    return {kind: [name for name in names if isinstance(name, str)] for kind, names in found.items()}


def _parameters(declared: Mapping[str, Any]) -> Iterator[str]:
    for name, about in sorted(declared.items()):
        known = name.startswith(PREFIX) and name.removeprefix(PREFIX) in jitp_parameters.NAMES
        if not isinstance(about, dict) or about.get("Type") != "String":
            yield f"{name} is not a parameter of the Type String"
        elif not known and (name.startswith("AWS::") or "Default" not in about):
            yield f"{name} is not a parameter that AWS fills in: JITP knows the certificate's subject and ID only"


def _resources(resources: Mapping[str, Any]) -> Iterator[str]:
    types: list[str] = []
    for name, resource in resources.items():
        kind = resource.get("Type") if isinstance(resource, dict) else None
        properties = resource.get("Properties") if isinstance(resource, dict) else None
        if kind not in (_THING, _CERTIFICATE, _POLICY):
            yield f"{name} is not a resource of the Type {_THING}, {_CERTIFICATE} or {_POLICY}"
            continue
        types.append(kind)
        if not isinstance(properties, dict):
            yield f"{name} has no Properties"
            continue
        check_properties = {_THING: _thing, _CERTIFICATE: _certificate, _POLICY: _policy}[kind]
        yield from (f"{name}: {problem}" for problem in check_properties(properties))
        overrides = resource.get("OverrideSettings", {})
        if not isinstance(overrides, dict) or not all(value in _OVERRIDES for value in overrides.values()):
            yield f"{name}: OverrideSettings is none of {', '.join(sorted(_OVERRIDES))}"
    for wanted in (_THING, _CERTIFICATE):
        if types.count(wanted) != 1:
            yield f"Resources must hold one {wanted}"
    if _POLICY not in types:
        yield f"Resources must hold one {_POLICY} or more"


def _thing(properties: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a thing's properties. References count as right: their text is not known yet."""
    if "ThingName" not in properties:
        yield "it has no ThingName"
    attributes = properties.get("AttributePayload", {})
    groups = properties.get("ThingGroups", [])
    if not isinstance(attributes, dict) or not isinstance(groups, list):
        yield "AttributePayload must be an object, and ThingGroups a list"
        return
    if len(attributes) > ATTRIBUTES and "ThingTypeName" not in properties:
        yield f"{len(attributes)} attributes, and {ATTRIBUTES} are allowed without ThingTypeName"
    texts = [(Name.THING, properties.get("ThingName")), (Name.TYPE, properties.get("ThingTypeName"))]
    texts += [(Name.GROUP, group) for group in groups]
    texts += [pair for name, value in attributes.items() for pair in ((Name.ATTRIBUTE, name), (Name.VALUE, value))]
    yield from _names(texts)


def _certificate(properties: Mapping[str, Any]) -> Iterator[str]:
    if properties.get("CertificateId") != {"Ref": jitp_parameters.ID}:
        yield f"CertificateId must be a Ref to {jitp_parameters.ID}: JITP has no other certificate"
    for other in ("CertificateSigningRequest", "CertificatePem", "CACertificatePem"):
        if other in properties:
            yield f"{other} goes with CertificateId never"
    if str(properties.get("Status", "ACTIVE")).upper() != "ACTIVE":
        yield "it does not become ACTIVE: the device could not connect"


def _policy(properties: Mapping[str, Any]) -> Iterator[str]:
    if ("PolicyName" in properties) == ("PolicyDocument" in properties):
        yield "it needs PolicyName or PolicyDocument, and not both"
    yield from _names([(Name.POLICY, properties.get("PolicyName"))])
    given = properties.get("PolicyDocument")
    if given is not None and not _references(given):
        try:
            document.parse("PolicyDocument", given)
        except BadInput as error:
            yield error.what


def _names(texts: list[tuple[Name, Any]]) -> Iterator[str]:
    for kind, text in texts:
        if isinstance(text, str):
            try:
                aws_names.check(kind, text)
            except BadInput as error:
                yield error.what
        elif text is not None and not isinstance(text, dict):
            yield f"{json.dumps(text)} is not {kind.value.what}"


def _references(value: Any) -> set[str]:
    """The parameters that a part of the template uses, by Ref or within Fn::Sub."""
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            return {str(value["Ref"])}
        substituted = value.get("Fn::Sub")
        if substituted is not None:
            text, more = substituted if isinstance(substituted, list) else (substituted, {})
            return (set(_SUBSTITUTED.findall(str(text))) - set(more)) | _references(more)
        return set().union(*map(_references, value.values()))
    if isinstance(value, list):
        return set().union(*map(_references, value))
    return set()


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """The value with each Ref replaced."""
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            return values[value["Ref"]]
        return {name: _filled(inner, values) for name, inner in value.items()}
    return [_filled(inner, values) for inner in value] if isinstance(value, list) else value
