"""AWS Private CA, which ministack does not have: root CAs that sign requests by the templates that Rootlet and a root need.

Its keys are in memory: a sandbox that ends forgets them, whatever it keeps of the rest.
"""

import base64
import datetime as dt
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rootlet.pki import keys
from rootlet.pki.certificates import UNREADABLE, PrivateKey, serial_number

SERVICE, TARGET = "acm-pca", "ACMPrivateCA"
ROOT_TEMPLATE = "RootCACertificate/V1"
CLIENT_TEMPLATE = "EndEntityClientAuthCertificate/V1"
BLANK_TEMPLATE = "BlankEndEntityCertificate_CriticalBasicConstraints_APIPassthrough/V1"
TEMPLATES = (ROOT_TEMPLATE, CLIENT_TEMPLATE, BLANK_TEMPLATE)

_KEY_TYPES: dict[str, keys.KeyType] = {
    "EC_prime256v1": "ec-p256",
    "EC_secp384r1": "ec-p384",
    "RSA_2048": "rsa-2048",
    "RSA_3072": "rsa-3072",
    "RSA_4096": "rsa-4096",
}
_HASHES: dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "SHA256": hashes.SHA256(),
    "SHA384": hashes.SHA384(),
    "SHA512": hashes.SHA512(),
}
_SUBJECT = {
    "Country": NameOID.COUNTRY_NAME,
    "State": NameOID.STATE_OR_PROVINCE_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "SerialNumber": NameOID.SERIAL_NUMBER,
    "CommonName": NameOID.COMMON_NAME,
}


class _RefusedError(Exception):
    """An error of the service: its code in AWS's API model, and what is wrong."""


@dataclass
class _Ca:
    arn: str
    key: PrivateKey = field(repr=False)
    subject: x509.Name
    algorithm: str
    status: str = "PENDING_CERTIFICATE"
    certificate: x509.Certificate | None = None
    issued: dict[str, x509.Certificate] = field(default_factory=dict)


def apply(app: Any, router: Any, account: str, region: str) -> None:
    """Serve it beside ministack's own services."""
    service = _Service(f"arn:aws:acm-pca:{region}:{account}:certificate-authority/")

    async def handle(_method: str, _path: str, headers: dict[str, str], body: bytes, _query: Any) -> Any:
        content = {"Content-Type": "application/x-amz-json-1.1"}
        try:
            answer = service.answer(headers.get("x-amz-target", "").rpartition(".")[2], json.loads(body or b"{}"))
        except _RefusedError as refused:
            code, what = refused.args
            return 400, content, json.dumps({"__type": code, "message": what}).encode()
        return 200, content, json.dumps(answer).encode()

    router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": [TARGET], "credential_scope": SERVICE}
    app.SERVICE_HANDLERS[SERVICE] = handle


class _Service:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._cas: dict[str, _Ca] = {}
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "CreateCertificateAuthority": self._create,
            "DescribeCertificateAuthority": self._describe,
            "GetCertificateAuthorityCsr": lambda given: {"Csr": _request(self._ca(given)).decode()},
            "ImportCertificateAuthorityCertificate": self._import,
            "GetCertificateAuthorityCertificate": lambda given: {"Certificate": _pem(_own(self._ca(given)))},
            "UpdateCertificateAuthority": self._update,
            "IssueCertificate": self._issue,
            "GetCertificate": self._get,
        }

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        if operation not in self._operations:
            raise _RefusedError("UnknownOperationException", f"the sandbox has no {operation}")
        return self._operations[operation](given) or {}

    def _ca(self, given: dict[str, Any]) -> _Ca:
        arn = str(given.get("CertificateAuthorityArn", ""))
        if not arn.startswith("arn:"):
            raise _RefusedError("InvalidArnException", f"{arn} is not a valid ARN")
        if arn not in self._cas:
            raise _RefusedError("ResourceNotFoundException", f"Could not find Certificate Authority {arn}")
        return self._cas[arn]

    def _create(self, given: dict[str, Any]) -> dict[str, Any]:
        about = given.get("CertificateAuthorityConfiguration") or {}
        if given.get("CertificateAuthorityType") != "ROOT" or about.get("KeyAlgorithm") not in _KEY_TYPES:
            raise _RefusedError("InvalidArgsException", f"the sandbox has ROOT CAs with {', '.join(_KEY_TYPES)}")
        ca = _Ca(
            f"{self._prefix}{uuid.uuid4()}",
            keys.generate(_KEY_TYPES[about["KeyAlgorithm"]]),
            _name(about.get("Subject") or {}),
            about["KeyAlgorithm"],
        )
        self._cas[ca.arn] = ca
        return {"CertificateAuthorityArn": ca.arn}

    def _describe(self, given: dict[str, Any]) -> dict[str, Any]:
        ca = self._ca(given)
        about = {"KeyAlgorithm": ca.algorithm, "SigningAlgorithm": "SHA256WITHECDSA", "Subject": {}}
        described = {"Arn": ca.arn, "Type": "ROOT", "Status": ca.status, "CertificateAuthorityConfiguration": about}
        return {"CertificateAuthority": described}

    def _import(self, given: dict[str, Any]) -> None:
        ca = self._ca(given)
        try:
            certificate = x509.load_pem_x509_certificate(base64.b64decode(given["Certificate"]))
        except (*UNREADABLE, KeyError):
            raise _RefusedError("MalformedCertificateException", "the certificate cannot be read") from None
        if certificate.public_key() != ca.key.public_key():
            raise _RefusedError("CertificateMismatchException", "the certificate is not that of the CA's key")
        ca.certificate, ca.status = certificate, "ACTIVE"

    def _update(self, given: dict[str, Any]) -> None:
        ca = self._ca(given)
        if ca.certificate is None or given.get("Status") not in ("ACTIVE", "DISABLED"):
            raise _RefusedError("InvalidStateException", f"the CA is {ca.status}")
        ca.status = given["Status"]

    def _issue(self, given: dict[str, Any]) -> dict[str, Any]:
        ca = self._ca(given)
        template = str(given.get("TemplateArn") or "").partition(":::template/")[2]
        if template not in TEMPLATES:
            raise _RefusedError("InvalidArgsException", f"the sandbox has the templates {', '.join(TEMPLATES)}")
        if ca.status != "ACTIVE" and template != ROOT_TEMPLATE:
            raise _RefusedError("InvalidStateException", f"The certificate authority is {ca.status}, not ACTIVE")
        certificate = _sign(ca, given, template)
        arn = f"{ca.arn}/certificate/{certificate.serial_number:032x}"
        ca.issued[arn] = certificate
        return {"CertificateArn": arn}

    def _get(self, given: dict[str, Any]) -> dict[str, Any]:
        ca, arn = self._ca(given), str(given.get("CertificateArn", ""))
        if arn not in ca.issued:
            raise _RefusedError("ResourceNotFoundException", f"Could not find certificate {arn}")
        chain = {} if ca.certificate is None else {"CertificateChain": _pem(ca.certificate)}
        return {"Certificate": _pem(ca.issued[arn])} | chain


def _sign(ca: _Ca, given: dict[str, Any], template: str) -> x509.Certificate:
    request = _checked_request(given)
    digest, _, family = str(given.get("SigningAlgorithm", "")).partition("WITH")
    if digest not in _HASHES or family != ("ECDSA" if isinstance(ca.key, ec.EllipticCurvePrivateKey) else "RSA"):
        raise _RefusedError("InvalidArgsException", "the signing algorithm's family must be that of the CA's key")
    subject = request.subject
    if template == BLANK_TEMPLATE and (passed := (given.get("ApiPassthrough") or {}).get("Subject")):
        subject = _name(passed)  # what the API says goes before what the request says
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    end = _when(given.get("Validity") or {}, now)
    if ca.certificate is not None and end > ca.certificate.not_valid_after_utc:
        raise _RefusedError("ValidationException", "The certificate would be valid for longer than its CA")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject)
        .public_key(request.public_key())
        .serial_number(serial_number())
        .not_valid_before(_when(given["ValidityNotBefore"], now) if "ValidityNotBefore" in given else now)
        .not_valid_after(end)
    )
    for value, critical in _extensions(ca, request, template, (given.get("ApiPassthrough") or {}).get("Extensions") or {}):
        builder = builder.add_extension(value, critical)
    return builder.sign(ca.key, _HASHES[digest])


def _extensions(
    ca: _Ca, request: x509.CertificateSigningRequest, template: str, passed: dict[str, Any]
) -> list[tuple[x509.ExtensionType, bool]]:
    """Those of a template (AWS Private CA: template definitions), and where it is blank those that the API passes."""
    own = x509.SubjectKeyIdentifier.from_public_key(request.public_key())
    if template == ROOT_TEMPLATE:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        return [(x509.BasicConstraints(True, None), True), (own, False), (usage, True)]
    identifiers = [(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()), False), (own, False)]
    if template == BLANK_TEMPLATE:
        return [(x509.BasicConstraints(False, None), True), *identifiers, *_passed(passed)]
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return [(x509.BasicConstraints(False, None), False), *identifiers, (usage, True), (client, False)]


def _passed(extensions: dict[str, Any]) -> list[tuple[x509.ExtensionType, bool]]:
    if unknown := set(extensions) - {"ExtendedKeyUsage", "CustomExtensions"}:
        raise _RefusedError("InvalidArgsException", f"the sandbox takes no {min(unknown)}")
    found: list[tuple[x509.ExtensionType, bool]] = []
    for usage in extensions.get("ExtendedKeyUsage") or ():
        if usage != {"ExtendedKeyUsageType": "CLIENT_AUTH"}:
            raise _RefusedError("InvalidArgsException", f"the sandbox takes no {usage}")
        found.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False))
    for custom in extensions.get("CustomExtensions") or ():
        oid = x509.ObjectIdentifier(custom["ObjectIdentifier"])
        value = x509.UnrecognizedExtension(oid, base64.b64decode(custom["Value"]))
        found.append((value, bool(custom.get("Critical"))))
    return found


def _checked_request(given: dict[str, Any]) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(given["Csr"]))
        if request.is_signature_valid:
            return request
    except (*UNREADABLE, KeyError, InvalidSignature):
        pass
    raise _RefusedError("MalformedCSRException", "The certificate signing request is not valid")


def _when(validity: dict[str, Any], now: dt.datetime) -> dt.datetime:
    if validity.get("Type") == "DAYS":
        return now + dt.timedelta(days=int(validity["Value"]))
    if validity.get("Type") == "ABSOLUTE":
        return dt.datetime.fromtimestamp(int(validity["Value"]), dt.UTC)
    raise _RefusedError("ValidationException", "the sandbox takes a validity in DAYS, or ABSOLUTE")


def _name(subject: dict[str, str]) -> x509.Name:
    if unknown := set(subject) - set(_SUBJECT):
        raise _RefusedError("InvalidArgsException", f"the sandbox takes no {min(unknown)} in a subject")
    return x509.Name([x509.NameAttribute(oid, subject[part]) for part, oid in _SUBJECT.items() if part in subject])


def _request(ca: _Ca) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(ca.subject)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _own(ca: _Ca) -> x509.Certificate:
    if ca.certificate is None:
        raise _RefusedError("InvalidStateException", f"The certificate authority is {ca.status}: it has no certificate")
    return ca.certificate


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
