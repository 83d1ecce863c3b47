"""Registers a device in AWS IoT Core: certificate, thing, policies. A second run changes nothing."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

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


@dataclass(frozen=True)
class RegistrationRequest:
    """How a device is registered.

    By default the policy ``rootlet-<application>`` is created for ``streams`` and ``topics`` (those that the application
    subscribes to) and attached; ``policy`` names an existing one to attach as it is instead. Each of ``services`` adds a
    policy. ``with_ca`` registers the certificate under its issuing CA, which must be registered. A deactivated certificate
    stays deactivated unless ``activate`` is set.
    """

    application: str = "leaf"
    streams: Sequence[str] = ()
    topics: Sequence[str] = ()
    services: Sequence[str] = ()
    policy: str | None = None
    with_ca: bool = False
    activate: bool = False
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


def register(iot: "IoTClient", identity: Certified, wanted: RegistrationRequest) -> RegistrationResult:
    """Register the identity's certificate, its thing and its policies, and attach them to each other.

    Raises RootletError.
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
    done.certificate_arn = _certificate(iot, identity, wanted, done.changes)
    _thing(iot, identity.thing, wanted.thing, done.changes)
    prefix = done.certificate_arn.rpartition(":")[0]
    done.policies = [
        wanted.policy or f"rootlet-{wanted.application}",
        *map(rendering.service_policy, wanted.services),
    ]
    if wanted.policy is None:
        _policy(
            iot, done.policies[0], rendering.render(prefix, wanted.application, wanted.streams, wanted.topics), done.changes
        )
    for service in wanted.services:
        _policy(iot, rendering.service_policy(service), rendering.render_service(prefix, service), done.changes)
    _attach(iot, done)


def _certificate(iot: "IoTClient", identity: Certified, wanted: RegistrationRequest, changes: list[str]) -> str:
    with _absent():
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


def _thing(iot: "IoTClient", name: str, wanted: ThingProperties, changes: list[str]) -> None:
    if wanted.type:
        _type(iot, wanted.type, changes)
    described = None
    with _absent():
        described = iot.describe_thing(thingName=name)
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
                _group(iot, group, changes)
                iot.add_thing_to_thing_group(thingGroupName=group, thingName=name)
                changes.append(f"added thing {name} to group {group}")


def _adjust(iot: "IoTClient", name: str, wanted: ThingProperties, described: Any, changes: list[str]) -> None:
    has = described.get("thingTypeName")
    if wanted.type and has not in (None, wanted.type):
        raise RootletError(
            f"thing {name} is of type {has}, not {wanted.type}",
            hint="leave out --thing-type, or change the type in AWS first",
        )
    if wanted.type and has is None:
        iot.update_thing(thingName=name, thingTypeName=wanted.type)
        changes.append(f"set type of thing {name}: {wanted.type}")
    differing = {key: value for key, value in wanted.attributes.items() if described.get("attributes", {}).get(key) != value}
    if differing:
        iot.update_thing(thingName=name, attributePayload={"attributes": differing, "merge": True})
        changes.append(f"set attributes of thing {name}: {', '.join(sorted(differing))}")


def _type(iot: "IoTClient", name: str, changes: list[str]) -> None:
    with _absent():
        iot.describe_thing_type(thingTypeName=name)
        return
    iot.create_thing_type(thingTypeName=name)
    changes.append(f"created thing type {name}")


def _group(iot: "IoTClient", name: str, changes: list[str]) -> None:
    with _absent():
        iot.describe_thing_group(thingGroupName=name)
        return
    iot.create_thing_group(thingGroupName=name)
    changes.append(f"created thing group {name}")


def _policy(iot: "IoTClient", name: str, wanted: dict[str, object], changes: list[str]) -> None:
    with _absent():
        if not rendering.same(iot.get_policy(policyName=name)["policyDocument"], wanted):
            raise RootletError(
                f"policy {name} exists and allows something else",
                hint="name the same streams and topics, choose another --application, or attach it with --policy",
            )
        return
    iot.create_policy(policyName=name, policyDocument=json.dumps(wanted))
    changes.append(f"created policy {name}")


def _attach(iot: "IoTClient", done: RegistrationResult) -> None:
    attached = {entry.get("policyName") for entry in iot.list_attached_policies(target=done.certificate_arn)["policies"]}
    for policy in done.policies:
        if policy not in attached:
            iot.attach_policy(policyName=policy, target=done.certificate_arn)
            done.changes.append(f"attached policy {policy} to the certificate")
    if done.certificate_arn not in iot.list_thing_principals(thingName=done.thing)["principals"]:
        iot.attach_thing_principal(thingName=done.thing, principal=done.certificate_arn)
        done.changes.append(f"attached the certificate to thing {done.thing}")


@contextlib.contextmanager
def _absent():  # type: ignore[no-untyped-def]  # a generator that may swallow; mypy would need the return after it
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
