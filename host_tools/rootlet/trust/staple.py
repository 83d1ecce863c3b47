"""What a server says of its own certificate's revocation: the OCSP response that it staples to the handshake (RFC 6066 §8).

AWS IoT Core staples one for a custom domain where that is switched on (AWS IoT Core: server certificate configuration for
OCSP stapling). A device does not ask for it: Mbed TLS has no OCSP, and MicroPython gives it no revocation list.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from rootlet.trust.model import Certificate


@dataclass(frozen=True)
class Staple:
    """A stapled response. ``status`` is good, revoked, unknown, or unusable; ``text`` says more about it."""

    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.status}, {self.text}" if self.text else self.status


def read(der: bytes, chain: Sequence[Certificate], roots: Sequence[Certificate], at: dt.datetime) -> Staple | None:
    """The response in ``der``, as of ``at``, about the first certificate of ``chain``. None where nothing was stapled.

    Its signature counts where the issuer, sent or among the ``roots``, made it, or a responder that the issuer certified.
    """
    if not der or not chain:
        return None
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
            return Staple("unusable", f"the responder answered {response.response_status.name.lower()}")
        return _judged(response, chain[0].parsed, [*chain[1:], *roots], at)
    except (ValueError, UnsupportedAlgorithm):
        return Staple("unusable", "it cannot be read")


def _judged(response: ocsp.OCSPResponse, server: x509.Certificate, above: Sequence[Certificate], at: dt.datetime) -> Staple:
    if response.serial_number != server.serial_number:
        return Staple("unusable", "it is about another certificate")
    if problem := _unsigned(response, [one.parsed for one in above if one.parsed.subject == server.issuer]):
        return Staple("unusable", problem)
    until = response.next_update_utc
    if at < response.this_update_utc or (until is not None and at > until):
        return Staple("unusable", f"it counts {_span(response.this_update_utc, until)}")
    status = response.certificate_status
    if status == ocsp.OCSPCertStatus.REVOKED:
        since = response.revocation_time_utc
        return Staple("revoked", f"since {since:%Y-%m-%d %H:%M}Z" if since else "")
    return Staple(status.name.lower(), _span(response.this_update_utc, until))


def _span(begin: dt.datetime, end: dt.datetime | None) -> str:
    return f"from {begin:%Y-%m-%d %H:%M}Z" + (f" to {end:%Y-%m-%d %H:%M}Z" if end else "")


def _unsigned(response: ocsp.OCSPResponse, issuers: Sequence[x509.Certificate]) -> str:
    """Why the signature does not count (RFC 6960 §4.2.2.2); empty where it does."""
    if not issuers:
        return "the issuer, which must have signed it, is not known"
    delegated = [certificate for certificate in response.certificates if _delegated(certificate, issuers)]
    for signer in [*issuers, *delegated]:
        if _is_responder(response, signer) and _signed(response, signer):
            return ""
    return "neither the issuer nor a responder of its signed it"


def _delegated(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    child = Certificate(certificate.public_bytes(Encoding.DER))
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage and any(
        Certificate(issuer.public_bytes(Encoding.DER)).signed(child) for issuer in issuers
    )


def _is_responder(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == signer.subject
    return response.responder_key_hash == x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest


def _signed(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, algorithm = signer.public_key(), response.signature_hash_algorithm
    try:
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm:
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm:
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    return True
