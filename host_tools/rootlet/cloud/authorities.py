"""The CAs that the account trusts: registered with proof of possession of their key, or in SNI_ONLY mode."""

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.cloud.client import aws_errors
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import certificate_id

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass
class RegisteredCA:
    """``id`` is AWS IoT's id of the CA; ``changes`` is empty where nothing had to change."""

    id: str
    arn: str = ""
    mode: str = ""
    auto_registration: bool = False
    changes: list[str] = field(default_factory=list)


def registration_code(iot: "IoTClient") -> str:
    """The account's registration code, the common name of a verification certificate."""
    with aws_errors():
        return iot.get_registration_code()["registrationCode"]
    raise AssertionError


def register(
    iot: "IoTClient",
    certificate: x509.Certificate,
    *,
    authority: Authority | None = None,
    verification: x509.Certificate | None = None,
    auto_registration: bool = False,
) -> RegisteredCA:
    """Register a CA and set it ACTIVE. A second call changes nothing.

    The proof of possession is ``verification``, or is made with ``authority``. Without either the CA is registered as
    SNI_ONLY, for which AWS needs no proof (its devices must send SNI). Raises RootletError.
    """
    with aws_errors():
        known = find(iot, certificate)
        if known is None:
            _check(certificate)
            if verification is None and authority is not None:
                verification = authority.prove_possession(registration_code(iot))
            done = _register(iot, certificate, verification, auto_registration)
        else:
            done = _adjust(iot, known, auto_registration)
    return done


def find(iot: "IoTClient", certificate: x509.Certificate) -> Any:
    """AWS's description of the CA with this certificate; None where it is not registered."""
    try:
        return iot.describe_ca_certificate(certificateId=certificate_id(certificate))["certificateDescription"]
    except iot.exceptions.ResourceNotFoundException:
        pass
    # AWS does not document that a CA's id is the SHA-256 of its DER: look at all CAs before answering no.
    for page in iot.get_paginator("list_ca_certificates").paginate():
        for entry in page["certificates"]:
            described = iot.describe_ca_certificate(certificateId=entry["certificateId"])["certificateDescription"]
            if x509.load_pem_x509_certificate(described["certificatePem"].encode()) == certificate:
                return described
    return None


def remove(iot: "IoTClient", certificate: x509.Certificate) -> list[str]:
    """Deactivate and delete a CA's registration. Its devices' certificates do not change."""
    with aws_errors():
        known = find(iot, certificate)
        if known is None:
            return []
        if known["status"] == "ACTIVE":
            iot.update_ca_certificate(certificateId=known["certificateId"], newStatus="INACTIVE")
        iot.delete_ca_certificate(certificateId=known["certificateId"])
        return [f"deactivated and deleted CA {known['certificateId']}"]
    raise AssertionError


def _check(certificate: x509.Certificate) -> None:
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value if _has(certificate) else None
    if constraints is None or not constraints.ca:
        raise RootletError(
            f"{certificate.subject.rfc4514_string()} is not a CA certificate",
            hint="give the ca.crt of the CA that issues the devices",
        )
    if certificate.not_valid_after_utc < dt.datetime.now(dt.UTC):
        raise RootletError(
            f"{certificate.subject.rfc4514_string()} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            hint="register the CA that replaces it",
        )


def _has(certificate: x509.Certificate) -> bool:
    return any(isinstance(extension.value, x509.BasicConstraints) for extension in certificate.extensions)


def _register(
    iot: "IoTClient", certificate: x509.Certificate, verification: x509.Certificate | None, auto_registration: bool
) -> RegisteredCA:
    more: dict[str, Any] = {"certificateMode": "SNI_ONLY"}
    if verification is not None:
        more = {"verificationCertificate": verification.public_bytes(Encoding.PEM).decode(), "certificateMode": "DEFAULT"}
    answer = iot.register_ca_certificate(
        caCertificate=certificate.public_bytes(Encoding.PEM).decode(),
        setAsActive=True,
        allowAutoRegistration=auto_registration,
        **more,
    )
    how = more["certificateMode"]
    done = RegisteredCA(answer["certificateId"], answer["certificateArn"], how, auto_registration)
    done.changes.append(f"registered CA {done.id} ({how})")
    return done


def _adjust(iot: "IoTClient", known: Any, auto_registration: bool) -> RegisteredCA:
    identifier = known["certificateId"]
    done = RegisteredCA(identifier, known["certificateArn"], known.get("certificateMode", "DEFAULT"), auto_registration)
    if known["status"] != "ACTIVE":
        iot.update_ca_certificate(certificateId=identifier, newStatus="ACTIVE")
        done.changes.append(f"activated CA {identifier}")
    was = known.get("autoRegistrationStatus", "DISABLE") == "ENABLE"
    if was != auto_registration:
        status = "ENABLE" if auto_registration else "DISABLE"
        iot.update_ca_certificate(certificateId=identifier, newAutoRegistrationStatus=status)  # type: ignore[arg-type]
        done.changes.append(f"auto-registration: {status}")
    return done
