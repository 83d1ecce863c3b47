"""AWS Private CA as issuer: AWS holds the CA and makes the certificates, from certificate requests.

Its key signs nothing else, so that whoever asks must have the device's key, or its request. The profile is Rootlet's own: a
blank template has basic constraints and key identifiers, and the API gives subject, key usage and extended key usage,
whatever the request says (AWS Private CA: understanding certificate templates). boto3 finds credentials and region as usual.
"""

import base64
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.aws_answers import checked
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import (
    UNREADABLE,
    Issuer,
    PrivateKey,
    device_key_usage,
    digest_for,
    supported_public_key,
    validity,
    whole,
)
from rootlet.pki.external_key import PRIVATE_CA, key_with_signer

TEMPLATE = "template/BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1"

_SUBJECT = {
    NameOID.COMMON_NAME: "CommonName",
    NameOID.COUNTRY_NAME: "Country",
    NameOID.STATE_OR_PROVINCE_NAME: "State",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.DN_QUALIFIER: "DistinguishedNameQualifier",
    NameOID.SERIAL_NUMBER: "SerialNumber",
}
_ATTEMPTS = Config(retries={"mode": "adaptive", "max_attempts": 10})  # IssueCertificate has a quota a second


class PrivateCa:
    """One CA in AWS Private CA. ``record`` finds it again."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client, self._arn = client, arn
        self.record = {"holder": PRIVATE_CA, "authority": arn, "region": client.meta.region_name}

    def certificates(self) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        """Its certificate, and those above it, nearest first. Raises RootletError, and BadInput where it cannot issue."""
        with _refusals(f"describe {self._arn}"):
            status = self._client.describe_certificate_authority(CertificateAuthorityArn=self._arn)["CertificateAuthority"][
                "Status"
            ]
        if status != "ACTIVE":
            raise BadInput(f"the private CA {self._arn} is {status}", hint="install its certificate, or enable it, in AWS")
        with _refusals(f"show the certificate of {self._arn}"):
            answer = self._client.get_certificate_authority_certificate(CertificateAuthorityArn=self._arn)
        own = _load(answer["Certificate"])[0]
        supported_public_key(own.public_key())
        return own, tuple(_load(answer.get("CertificateChain", "")))

    def issuer(self, certificate: x509.Certificate) -> Issuer:
        """The CA as an issuer whose key signs nothing here."""

        def refuse(_message: bytes, _algorithm: object) -> bytes:
            raise BadInput(
                "AWS Private CA signs certificate requests only",
                hint="use a CA whose key is in a file, a token or KMS for this",
            )

        return Issuer(certificate, key_with_signer(supported_public_key(certificate.public_key()), refuse))

    def certify(
        self, request: x509.CertificateSigningRequest, subject: x509.Name, issuer: x509.Certificate, days: int
    ) -> x509.Certificate:
        """A device's certificate for the key in ``request``, with ``subject``. Raises RootletError, and BadInput."""
        start, end = validity(days, None, issuer)
        with _refusals("issue the certificate"):
            arn = self._client.issue_certificate(
                CertificateAuthorityArn=self._arn,
                Csr=request.public_bytes(Encoding.PEM),
                SigningAlgorithm=_algorithm(issuer.public_key()),
                TemplateArn=f"arn:{self._arn.split(':')[1]}:acm-pca:::{TEMPLATE}",
                Validity=_at(end),
                ValidityNotBefore=_at(start),
                ApiPassthrough={"Subject": _passed(subject), "Extensions": _extensions()},
            )["CertificateArn"]
            where = {"CertificateAuthorityArn": self._arn, "CertificateArn": arn}
            self._client.get_waiter("certificate_issued").wait(**where)
            made = _load(self._client.get_certificate(**where)["Certificate"])[0]
        _check(made, request, subject, issuer)
        return made


def use(arn: str, region: str | None = None) -> PrivateCa:
    """The private CA of this ARN, which names its region. Raises BadInput."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "acm-pca" or not parts[5].startswith("certificate-authority/"):
        raise BadInput(
            f"{arn!r} is not the ARN of a private CA",
            hint="give it as arn:aws:acm-pca:REGION:ACCOUNT:certificate-authority/ID",
        )
    with _refusals("be reached"):
        client = checked(boto3.client("acm-pca", region_name=region or parts[3], config=_ATTEMPTS))
    return PrivateCa(client, arn)


def open_record(record: dict[str, str]) -> PrivateCa:
    """The one that a CA's ca.json names. Raises BadInput."""
    try:
        return use(record["authority"], record["region"])
    except KeyError as error:
        raise BadInput(f"the CA's ca.json lacks {error}", hint="restore it from a backup") from None


def request_for(subject: x509.Name, key: PrivateKey) -> x509.CertificateSigningRequest:
    """A certificate request by ``key``."""
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, digest_for(key))


def _check(
    made: x509.Certificate, request: x509.CertificateSigningRequest, subject: x509.Name, issuer: x509.Certificate
) -> None:
    """Refuse what is not the certificate that was asked for: AWS says who a device is, and we trust no proxy with that."""
    try:
        made.verify_directly_issued_by(issuer)
    except Exception:  # cryptography raises a different exception for each reason
        raise RootletError("AWS Private CA's certificate is not signed by its CA", hint="repeat the command") from None
    if made.public_key() != request.public_key() or set(made.subject) != set(subject):
        raise RootletError(
            f"AWS Private CA made another certificate: {made.subject.rfc4514_string()}",
            hint=f"the CA must allow the template {TEMPLATE.split('/')[1]}",
        )


def _passed(subject: x509.Name) -> Any:
    """A subject as AWS's ASN1Subject."""
    passed = {}
    for attribute in subject:
        if attribute.oid not in _SUBJECT or _SUBJECT[attribute.oid] in passed:
            raise BadInput(f"AWS Private CA takes no {attribute.rfc4514_string()} in a subject", hint="leave it out")
        passed[_SUBJECT[attribute.oid]] = str(attribute.value)
    return passed


def _extensions() -> Any:
    """The usages of a device's certificate; key usage as a custom extension, critical, as in AWS's example for Matter."""
    usage = device_key_usage()
    critical = {"ObjectIdentifier": usage.oid.dotted_string, "Value": base64.b64encode(usage.public_bytes()).decode()}
    return {
        "ExtendedKeyUsage": [{"ExtendedKeyUsageType": "CLIENT_AUTH"}],
        "CustomExtensions": [critical | {"Critical": True}],
    }


def _algorithm(key: object) -> Any:
    """The signature, of the family of the CA's key (AWS Private CA: IssueCertificate)."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "SHA384WITHECDSA" if key.curve.key_size > 256 else "SHA256WITHECDSA"
    return "SHA256WITHRSA"


def _at(when: dt.datetime) -> Any:
    return {"Type": "ABSOLUTE", "Value": int(when.timestamp())}


def _load(pem: str) -> list[x509.Certificate]:
    try:
        return list(map(whole, x509.load_pem_x509_certificates(pem.encode()))) if pem else []
    except UNREADABLE:
        raise RootletError("AWS Private CA answered with a damaged certificate", hint="repeat the command") from None


@contextmanager
def _refusals(action: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        fault = error.response.get("Error", {})
        raise RootletError(
            f"AWS Private CA did not {action}: {fault.get('Code', 'error')}: {fault.get('Message', '')}".rstrip(": "),
            hint="check the CA, the region, and that your credentials allow acm-pca:IssueCertificate, GetCertificate, "
            "GetCertificateAuthorityCertificate and DescribeCertificateAuthority",
        ) from None
    except WaiterError as error:
        raise RootletError(
            f"AWS Private CA did not {action} in time: {error}", hint="repeat the command; AWS charges for each certificate"
        ) from None
    except BotoCoreError as error:
        raise RootletError(
            f"AWS Private CA could not {action}: {error}", hint="check your AWS credentials, region and network"
        ) from None
