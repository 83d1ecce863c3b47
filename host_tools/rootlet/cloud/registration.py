"""Registers a device in AWS IoT Core: certificate, thing, policies. A second run changes nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.cloud import preflight
from rootlet.cloud.client import aws_errors
from rootlet.errors import RootletError
from rootlet.policies import rendering

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


class Certified(Protocol):
    """The parts of a device that registration needs: all but its private key."""

    @property
    def thing(self) -> str: ...
    @property
    def certificate(self) -> x509.Certificate: ...
    @property
    def certificate_id(self) -> str: ...
    @property
    def issuers(self) -> tuple[x509.Certificate, ...]: ...


@dataclass(frozen=True)
class ThingProperties:
    """The properties of a thing besides its name. Missing types and groups are created."""

    type: str | None = None
    groups: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


PLAIN = ThingProperties()
_POLICY_VERSIONS = 5  # AWS IoT Core quotas: versions of a policy


@dataclass(frozen=True)
class RegistrationRequest:
    """How a device is registered.

    By default the policy ``rootlet-<application>`` is created for ``streams`` and ``topics`` (those that the application
    subscribes to) and attached; ``policy`` names an existing one to attach as it is instead. Each of ``services`` adds a
    policy. ``update_policy`` gives one that allows something else a new version. ``with_ca`` registers the certificate under
    its issuing CA, which must be registered. A deactivated certificate stays deactivated unless ``activate`` is set.
    """

    application: str = "leaf"
    streams: Sequence[str] = ()
    topics: Sequence[str] = ()
    services: Sequence[str] = ()
    policy: str | None = None
    with_ca: bool = False
    activate: bool = False
    update_policy: bool = False
    thing: ThingProperties = PLAIN


@dataclass
class RegistrationResult:
    """The registered device, and the changes that this run made."""

    thing: str
    certificate_id: str
    certificate_arn: str = ""
    policies: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def endpoint(iot: "IoTClient") -> str:
    """The account's device endpoint (Data-ATS, whose chains end at Amazon's own roots)."""
    with aws_errors():
        return iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    raise AssertionError


def check(iot: "IoTClient", wanted: RegistrationRequest) -> None:
    """Raise BadInput where no device can be registered by ``wanted``, before the first one is. Nothing is changed."""
    with aws_errors():
        preflight.look_up(iot, wanted)


def register(iot: "IoTClient", identity: Certified, wanted: RegistrationRequest) -> RegistrationResult:
    """Register the identity's certificate, its thing and its policies, and attach them to each other.

    What can be known to fail is looked up before anything is created. Raises RootletError.
    """
    done = RegistrationResult(identity.thing, identity.certificate_id)
    with aws_errors():
        try:
            _register(iot, identity, wanted, done)
        except ClientError as error:
            # Another run created it since the check, or the answer to our own first request was lost.
            if error.response.get("Error", {}).get("Code") != "ResourceAlreadyExistsException":
                raise
            _register(iot, identity, wanted, done)
    return done


def _register(iot: "IoTClient", identity: Certified, wanted: RegistrationRequest, done: RegistrationResult) -> None:
    done.policies = [
        wanted.policy or f"rootlet-{wanted.application}",
        *map(rendering.service_policy, wanted.services),
    ]
    missing = preflight.look_up(iot, wanted)
    described = preflight.described_thing(iot, identity.thing, wanted.thing)
    done.certificate_arn = _certificate(iot, identity, wanted, done.changes)
    if missing.thing_type is not None:
        iot.create_thing_type(thingTypeName=missing.thing_type)
        done.changes.append(f"created thing type {missing.thing_type}")
    for group in missing.groups:
        iot.create_thing_group(thingGroupName=group)
        done.changes.append(f"created thing group {group}")
    _thing(iot, identity.thing, wanted.thing, described, done.changes)
    documents = preflight.documents(done.certificate_arn.rpartition(":")[0], wanted)
    for policy in missing.policies:
        iot.create_policy(policyName=policy, policyDocument=json.dumps(documents[policy]))
        done.changes.append(f"created policy {policy}")
    for policy in missing.outdated:
        _update_policy(iot, policy, json.dumps(documents[policy]), done.changes)
    _attach(iot, done)


def _update_policy(iot: "IoTClient", name: str, document: str, changes: list[str]) -> None:
    """Make ``document`` the policy's default version. The oldest other one gives way where there is no room for more."""
    versions = iot.list_policy_versions(policyName=name)["policyVersions"]
    if len(versions) >= _POLICY_VERSIONS:
        old = min((one for one in versions if not one["isDefaultVersion"]), key=lambda one: int(one["versionId"]))
        iot.delete_policy_version(policyName=name, policyVersionId=old["versionId"])
        changes.append(f"deleted version {old['versionId']} of policy {name}")
    made = iot.create_policy_version(policyName=name, policyDocument=document, setAsDefault=True)
    changes.append(f"policy {name} has version {made['policyVersionId']}: it holds for every device that has this policy")


def _certificate(iot: "IoTClient", identity: Certified, wanted: RegistrationRequest, changes: list[str]) -> str:
    with preflight.absent():
        description = iot.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]
        status = description["status"]
        if status != "ACTIVE":
            if not wanted.activate or status == "REVOKED":
                raise RootletError(
                    f"certificate {identity.certificate_id} of {identity.thing} is {status}",
                    hint="issue a new identity: a revoked certificate stays revoked"
                    if status == "REVOKED"
                    else "somebody deactivated it; add --activate to activate it again",
                )
            iot.update_certificate(certificateId=identity.certificate_id, newStatus="ACTIVE")
            changes.append(f"activated certificate {identity.certificate_id}")
        return description["certificateArn"]
    pem = identity.certificate.public_bytes(Encoding.PEM).decode()
    if wanted.with_ca:
        issuer = identity.issuers[0].public_bytes(Encoding.PEM).decode() if identity.issuers else ""
        answer = iot.register_certificate(certificatePem=pem, caCertificatePem=issuer, status="ACTIVE")
        arn = answer["certificateArn"]
    else:
        arn = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")["certificateArn"]
    changes.append(f"registered certificate {identity.certificate_id}")
    return arn


def _thing(iot: "IoTClient", name: str, wanted: ThingProperties, described: Any, changes: list[str]) -> None:
    if described is None:
        more: dict[str, Any] = {"thingTypeName": wanted.type} if wanted.type else {}
        if wanted.attributes:
            more["attributePayload"] = {"attributes": dict(wanted.attributes)}
        iot.create_thing(thingName=name, **more)
        changes.append(f"created thing {name}")
    else:
        _adjust(iot, name, wanted, described, changes)
    if wanted.groups:
        member = {group["groupName"] for group in iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]}
        for group in wanted.groups:
            if group not in member:
                iot.add_thing_to_thing_group(thingGroupName=group, thingName=name)
                changes.append(f"added thing {name} to group {group}")


def _adjust(iot: "IoTClient", name: str, wanted: ThingProperties, described: Any, changes: list[str]) -> None:
    if wanted.type and described.get("thingTypeName") is None:
        iot.update_thing(thingName=name, thingTypeName=wanted.type)
        changes.append(f"set type of thing {name}: {wanted.type}")
    differing = {key: value for key, value in wanted.attributes.items() if described.get("attributes", {}).get(key) != value}
    if differing:
        iot.update_thing(thingName=name, attributePayload={"attributes": differing, "merge": True})
        changes.append(f"set attributes of thing {name}: {', '.join(sorted(differing))}")


def _attach(iot: "IoTClient", done: RegistrationResult) -> None:
    attached = {entry.get("policyName") for entry in iot.list_attached_policies(target=done.certificate_arn)["policies"]}
    for policy in done.policies:
        if policy not in attached:
            iot.attach_policy(policyName=policy, target=done.certificate_arn)
            done.changes.append(f"attached policy {policy} to the certificate")
    if done.certificate_arn not in iot.list_thing_principals(thingName=done.thing)["principals"]:
        iot.attach_thing_principal(thingName=done.thing, principal=done.certificate_arn)
        done.changes.append(f"attached the certificate to thing {done.thing}")
