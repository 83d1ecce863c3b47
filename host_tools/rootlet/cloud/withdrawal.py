"""Making AWS IoT Core stop trusting a certificate, and asking which ones it trusts."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rootlet.cloud.client import errors

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

_PAGE = 250  # ListCertificates gives no more at once


def status(iot: "IoTClient", certificate_id: str) -> str | None:
    """What AWS says of a certificate (ACTIVE, INACTIVE, REVOKED, …); None where it does not know it."""
    with errors():
        try:
            return iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
    return None


def statuses(iot: "IoTClient") -> dict[str, str]:
    """Every certificate of the account, by id."""
    found: dict[str, str] = {}
    with errors():
        for page in iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": _PAGE}):
            found.update({entry["certificateId"]: entry["status"] for entry in page["certificates"]})
    return found


def block(iot: "IoTClient", certificate: str, issuer: str) -> None:
    """Register a certificate (PEM) of a registered CA (PEM) as inactive: just-in-time provisioning then never accepts it."""
    with errors():
        iot.register_certificate(certificatePem=certificate, caCertificatePem=issuer, status="INACTIVE")


def revoke(iot: "IoTClient", certificate_id: str) -> bool:
    """Revoke a certificate for good, and take it off its things and policies. False where AWS does not know it.

    Again is safe: what an interrupted run left is done by the next.
    """
    with errors():
        try:
            described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
            return False
        # First of all the door: whatever fails afterwards, the certificate opens it no more.
        if described["status"] != "REVOKED":
            iot.update_certificate(certificateId=certificate_id, newStatus="REVOKED")
        arn = described["certificateArn"]
        for policy in iot.list_attached_policies(target=arn)["policies"]:
            iot.detach_policy(policyName=policy["policyName"], target=arn)
        for thing in iot.list_principal_things(principal=arn)["things"]:
            iot.detach_thing_principal(thingName=thing, principal=arn)
    return True
