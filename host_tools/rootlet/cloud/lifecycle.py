"""The life of a registered certificate: deactivate, activate, revoke, delete, audit."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.cloud.attached_policies import Registry
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput, RootletError
from rootlet.policies.reach import too_wide
from rootlet.words import number_of

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

Status = Literal["ACTIVE", "INACTIVE", "REVOKED"]
_PAGE = 250  # the longest page of ListCertificates


@dataclass
class Change:
    """The changes to one certificate; ``changes`` is empty where none was needed."""

    certificate_id: str
    status: str
    changes: list[str] = field(default_factory=list)


class UnknownCertificate(RootletError):  # noqa: N818 - reads as what it is where it is raised
    """The account does not have the certificate."""


def set_status(iot: "IoTClient", certificate_id: str, status: Status) -> Change:
    """Set a certificate's status. A revoked certificate stays revoked. Raises RootletError."""
    with aws_errors():
        was = describe(iot, certificate_id)["status"]
        done = Change(certificate_id, status)
        if was == status:
            return done
        if was == "REVOKED":
            raise RootletError(f"certificate {certificate_id} is revoked, and cannot be activated", hint="issue a new one")
        iot.update_certificate(certificateId=certificate_id, newStatus=status)
        done.changes.append(f"certificate {certificate_id}: {was} → {status}")
        return done
    raise AssertionError


def delete(iot: "IoTClient", certificate_id: str, *, thing: bool = False) -> Change:
    """Deactivate a certificate, detach it from its things and policies, and delete it; with ``thing``, its things as well.

    Missing parts are skipped, so that a second call finishes an interrupted one. Policies are not deleted.
    """
    done = Change(certificate_id, "DELETED")
    with aws_errors():
        try:
            known = describe(iot, certificate_id)
        except UnknownCertificate:
            return done
        arn = known["certificateArn"]
        if known["status"] == "ACTIVE":
            iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
            done.changes.append(f"deactivated certificate {certificate_id}")
        things = iot.list_principal_things(principal=arn)["things"]
        for policy in iot.list_attached_policies(target=arn)["policies"]:
            iot.detach_policy(policyName=policy["policyName"], target=arn)
            done.changes.append(f"detached policy {policy['policyName']}")
        for name in things:
            iot.detach_thing_principal(thingName=name, principal=arn)
            done.changes.append(f"detached thing {name}")
        iot.delete_certificate(certificateId=certificate_id)
        done.changes.append(f"deleted certificate {certificate_id}")
        for name in things if thing else ():
            if not iot.list_thing_principals(thingName=name)["principals"]:
                iot.delete_thing(thingName=name)
                done.changes.append(f"deleted thing {name}")
    return done


def withdraw(iot: "IoTClient", certificate_id: str) -> bool:
    """Revoke a certificate and detach it from its things and policies. False where the account does not have it.

    A second call finishes an interrupted one.
    """
    with aws_errors():
        try:
            known = describe(iot, certificate_id)
        except UnknownCertificate:
            return False
        # The status first: whatever fails afterwards, the certificate no longer connects.
        set_status(iot, certificate_id, "REVOKED")
        arn = known["certificateArn"]
        for policy in iot.list_attached_policies(target=arn)["policies"]:
            iot.detach_policy(policyName=policy["policyName"], target=arn)
        for thing in iot.list_principal_things(principal=arn)["things"]:
            iot.detach_thing_principal(thingName=thing, principal=arn)
    return True


def block(iot: "IoTClient", certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Register a certificate of a registered CA as INACTIVE: just-in-time provisioning then never activates it."""
    with aws_errors():
        iot.register_certificate(certificatePem=_pem(certificate), caCertificatePem=_pem(issuer), status="INACTIVE")


def statuses(iot: "IoTClient") -> dict[str, str]:
    """The status of every certificate of the account, by certificate ID."""
    found: dict[str, str] = {}
    with aws_errors():
        for page in iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": _PAGE}):
            found.update({entry["certificateId"]: entry["status"] for entry in page["certificates"]})
    return found


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def describe(iot: "IoTClient", certificate_id: str) -> Any:
    """AWS's description of a certificate. Raises UnknownCertificate where the account does not have it."""
    try:
        return iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        raise UnknownCertificate(
            f"the account has no certificate {certificate_id}", hint="register the device: rootlet cloud register"
        ) from None


@dataclass(frozen=True)
class AccountFinding:
    """One fault of a certificate in the account."""

    kind: str
    certificate_id: str
    text: str


def audit(iot: "IoTClient", *, within: int, at: dt.datetime) -> Iterator[AccountFinding]:
    """The findings about every certificate of the account: expired, or expiring in ``within`` days; pending; without a thing
    or a policy; several to a thing; and once for each statement of a policy, what it allows beyond a device's own.
    """
    with aws_errors():
        holders: dict[str, list[str]] = {}
        wide: dict[str, list[str]] = {}
        registry = Registry(iot)
        for page in iot.get_paginator("list_certificates").paginate():
            for entry in page["certificates"]:
                if entry["status"] == "PENDING_ACTIVATION":
                    text = "waits for its activation: rootlet cloud jitr run"
                    yield AccountFinding("pending", entry["certificateId"], text)
                if entry["status"] == "ACTIVE":
                    yield from _look(registry, entry["certificateId"], (within, at), holders, wide)
        for thing, certificates in holders.items():
            if len(certificates) > 1:
                yield AccountFinding(
                    "several", certificates[0], f"thing {thing} has {len(certificates)} active certificates"
                )
        for text, certificates in wide.items():
            more = f" (and {len(certificates) - 1} more)" if len(certificates) > 1 else ""
            yield AccountFinding("wide", certificates[0], text + more)


def _look(
    registry: Registry,
    identifier: str,
    expiry: tuple[int, dt.datetime],
    holders: dict[str, list[str]],
    wide: dict[str, list[str]],
) -> Iterator[AccountFinding]:
    known = registry.certificate(identifier)
    within, at = expiry
    left = (known.parsed.not_valid_after_utc - at).days
    if left < within:
        when = "expired" if left < 0 else f"expires in {number_of(left, 'day')}:"
        yield AccountFinding("expiry", identifier, f"{when} {known.parsed.not_valid_after_utc:%Y-%m-%d}")
    for thing in known.things:
        holders.setdefault(thing, []).append(identifier)
    if not known.things:
        yield AccountFinding("no-thing", identifier, "is ACTIVE and is not attached to a thing")
    try:
        connections = [registry.connection(known, thing) for thing in known.things or [identifier]]
    except BadInput as error:
        yield AccountFinding("malformed", identifier, error.what)
        return
    if not any(connection.policies for connection in connections):
        yield AccountFinding("no-policy", identifier, "is ACTIVE and has no policy, nor has a group of its thing")
    for text in dict.fromkeys(found.text for connection in connections for found in too_wide(connection)):
        wide.setdefault(text, []).append(identifier)
