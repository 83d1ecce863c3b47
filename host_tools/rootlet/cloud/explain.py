"""Whether AWS IoT Core would accept a device, check by check. Nothing in the account changes."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.cloud.attached_policies import from_aws
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput
from rootlet.pki.identity import certificate_id, common_name
from rootlet.pki.subject import check_thing_name
from rootlet.policies.application import Application
from rootlet.policies.application_check import denied
from rootlet.policies.rendering import will_topic
from rootlet.policies.simulation import simulate
from rootlet.trust.model import Certificate

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class ConnectionCheck:
    """One check and its result; ``ok`` is None where it does not matter. ``hint`` says how to correct a fault."""

    name: str
    ok: bool | None
    text: str
    hint: str = ""


@dataclass
class Explanation:
    """``accepted``: AWS would accept the connection. ``first_time``: AWS would drop the first one, and register it."""

    certificate_id: str
    rules: list[ConnectionCheck] = field(default_factory=list)
    first_time: bool = False

    @property
    def accepted(self) -> bool:
        return all(rule.ok is not False for rule in self.rules)


def explain(
    iot: "IoTClient",
    certificate: x509.Certificate,
    at: dt.datetime,
    application: str = "leaf",
    read: Application | None = None,
    *,
    thing: str | None = None,
) -> Explanation:
    """What AWS IoT Core would do with a device's certificate. Raises RootletError where AWS cannot be reached.

    The device connects as ``thing``, which is the certificate's common name unless given. Where that is no thing's name, as
    in the certificates that AWS makes, it connects as the thing that is attached.
    With ``read``, a denied action of that application, in the topics of ``application``, is a fault, too.
    """
    identifier = certificate_id(certificate)
    found = Explanation(identifier)
    with aws_errors():
        description = _describe(iot, identifier)
        authority = _authority(iot, certificate)
        if description is None:
            _unregistered(found, authority)
        else:
            _registered(iot, found, description, thing or _named(certificate), application)
            if read is not None:
                found.rules += _uses(iot, identifier, application, read)
        found.rules.append(_dates(certificate, at))
        found.rules.append(_issuer(certificate, authority))
    return found


def _named(certificate: x509.Certificate) -> str | None:
    try:
        return check_thing_name(common_name(certificate))
    except BadInput:
        return None


def _describe(iot: "IoTClient", identifier: str) -> Any:
    try:
        return iot.describe_certificate(certificateId=identifier)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        return None


def _authority(iot: "IoTClient", certificate: x509.Certificate) -> Any:
    # The registered CA whose key made the signature.
    for page in iot.get_paginator("list_ca_certificates").paginate():
        for entry in page["certificates"]:
            described = iot.describe_ca_certificate(certificateId=entry["certificateId"])
            ca = x509.load_pem_x509_certificate(described["certificateDescription"]["certificatePem"].encode())
            if Certificate(ca.public_bytes(Encoding.DER)).signed(Certificate(certificate.public_bytes(Encoding.DER))):
                return described["certificateDescription"]
    return None


def _unregistered(found: Explanation, authority: Any) -> None:
    waits = authority is not None and authority["status"] == "ACTIVE" and authority.get("autoRegistrationStatus") == "ENABLE"
    if waits:
        found.first_time = True
        text = "not yet: AWS drops the first connection and registers the certificate, since its CA has auto-registration"
        found.rules.append(ConnectionCheck("registered", None, text))
    else:
        hint = "rootlet cloud register DIRECTORY, or register its CA with auto-registration"
        found.rules.append(
            ConnectionCheck("registered", False, f"the account does not know certificate {found.certificate_id}", hint)
        )


def _registered(iot: "IoTClient", found: Explanation, description: Any, named: str | None, application: str) -> None:
    mode = description.get("certificateMode", "DEFAULT")
    how = f"under CA {description['caCertificateId'][:16]}…" if description.get("caCertificateId") else "without a CA"
    sni = "; the device must send SNI" if mode == "SNI_ONLY" else ""
    found.rules.append(ConnectionCheck("registered", True, f"{how}{sni}"))
    status = description["status"]
    hint = (
        "rootlet cloud register DIRECTORY --activate" if status in ("INACTIVE", "PENDING_ACTIVATION") else "issue a new one"
    )
    found.rules.append(ConnectionCheck("status", status == "ACTIVE", status, "" if status == "ACTIVE" else hint))
    arn = description["certificateArn"]
    things = iot.list_principal_things(principal=arn)["things"]
    thing = things[0] if things else ""
    if not things:
        text = "no thing is attached: a policy with the condition iot:Connection.Thing.IsAttached denies the connection"
    else:
        text = f"{', '.join(things)} attached" + (
            f"; the device connects as {named}" if named and named not in things else ""
        )
    found.rules.append(
        ConnectionCheck("thing", bool(things) or None, text, "" if things else "rootlet cloud register DIRECTORY")
    )
    found.rules += _policies(iot, arn, thing)
    if status == "ACTIVE":
        found.rules.append(_connect(iot, found.certificate_id, named or thing, application))


def _connect(iot: "IoTClient", certificate_id: str, client_id: str, application: str) -> ConnectionCheck:
    """The policies' decision about the CONNECT of ``leaf``: its client ID is the thing's name."""
    will = will_topic(application, client_id)
    device = replace(from_aws(iot, certificate_id, client_id=client_id), persistent=True, will_topic=will)
    decision = simulate(device, "connect", client_id).decision
    text = f"as {client_id}: {decision.by.title if decision.by else 'no statement allows iot:Connect'}"
    options = f"--persistent --will-topic {will}"
    hint = f"rootlet cloud policy simulate {certificate_id} connect {client_id} {options} says why"
    hint = "" if decision.allowed else hint
    return ConnectionCheck("connect", decision.allowed, text, hint)


def _uses(iot: "IoTClient", certificate_id: str, application: str, read: Application) -> Iterator[ConnectionCheck]:
    uses = denied(from_aws(iot, certificate_id), application, read)
    hint = "rootlet cloud policy render --app says what would allow it; or rootlet cloud register --app"
    yield from (ConnectionCheck("application", False, use.text, hint) for use in uses)
    if not uses:
        yield ConnectionCheck("application", True, "all that it publishes and subscribes to is allowed")


def _policies(iot: "IoTClient", arn: str, thing: str) -> Iterator[ConnectionCheck]:
    attached = [policy["policyName"] for policy in iot.list_attached_policies(target=arn)["policies"]]
    sources = dict.fromkeys(attached, "")
    if thing:
        for group in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]:
            for policy in iot.list_attached_policies(target=group["groupArn"])["policies"]:
                sources.setdefault(policy["policyName"], f" (by group {group['groupName']})")
    if not sources:
        yield ConnectionCheck(
            "policies", False, "no policy is attached: every action is denied", "rootlet cloud register DIRECTORY"
        )
        return
    yield ConnectionCheck("policies", True, ", ".join(name + where for name, where in sources.items()))


def _dates(certificate: x509.Certificate, at: dt.datetime) -> ConnectionCheck:
    if at > certificate.not_valid_after_utc:
        return ConnectionCheck(
            "dates", False, f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}", "issue and register a new one"
        )
    if at < certificate.not_valid_before_utc:
        return ConnectionCheck(
            "dates",
            False,
            f"not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M}Z",
            "wait, or check the clocks",
        )
    return ConnectionCheck("dates", True, f"until {certificate.not_valid_after_utc:%Y-%m-%d}")


def _issuer(certificate: x509.Certificate, authority: Any) -> ConnectionCheck:
    name = certificate.issuer.rfc4514_string()
    if authority is None:
        return ConnectionCheck(
            "issuer",
            None,
            f"{name} is not a registered CA of the account; a certificate registered by itself does not need one",
        )
    auto = authority.get("autoRegistrationStatus", "DISABLE")
    return ConnectionCheck("issuer", None, f"{name}: registered, {authority['status']}, auto-registration {auto}")
