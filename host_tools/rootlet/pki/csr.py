"""Certificate signing requests (PKCS#10, RFC 2986): which of their fields are used.

A request proves that its sender holds the private key, and nothing else. Its common name must be the thing name. The rest of
the subject comes from the batch, since AWS IoT policies can depend on it.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rootlet.errors import BadInput
from rootlet.files import read_input
from rootlet.pki.certificates import UNREADABLE, PublicKey, supported_public_key
from rootlet.pki.subject import check_thing_name


@dataclass(frozen=True)
class CheckedRequest:
    """A request that was accepted, for ``thing`` with ``public_key``. ``left_out`` names the fields that are ignored."""

    thing: str
    public_key: PublicKey
    left_out: tuple[str, ...]
    request: x509.CertificateSigningRequest


def read(path: Path, thing: str | None = None) -> CheckedRequest:
    """The request in a PEM or DER file, checked. ``thing``, where given, must be its common name. Raises BadInput."""
    data = read_input(path, "certificate signing request")
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
        return check(load(data), thing)
    except UNREADABLE:
        raise BadInput(
            f"{path} is not a certificate signing request", hint="make one: openssl req -new -key device.key"
        ) from None


def check(request: x509.CertificateSigningRequest, thing: str | None = None) -> CheckedRequest:
    """The request, with its signature, key, name and extensions checked. Raises BadInput."""
    public_key = supported_public_key(request.public_key())
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm):
        valid = False
    if not valid:
        raise BadInput(
            "the request's signature is wrong: its sender has not proved to hold the private key",
            hint="sign the request again with the device's own key",
        )
    names = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) > 1:
        raise BadInput("the request has several common names", hint="make the request again with the thing name alone")
    if names and thing and names[0] != thing:
        raise BadInput(
            f"the request is for {names[0]!r}, not for {thing!r}", hint="give the thing name that the request has"
        )
    if not names and not thing:
        raise BadInput("the request has no common name", hint="give the thing name: rootlet device issue THING --csr …")
    others = tuple(part.rfc4514_string() for part in request.subject if part.oid != NameOID.COMMON_NAME)
    return CheckedRequest(check_thing_name(thing or names[0]), public_key, others + _check_extensions(request), request)


def _check_extensions(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """The names of the extensions that are ignored. Raises BadInput for those that a device's certificate cannot have."""
    left_out = []
    for extension in request.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise BadInput("the request asks to be a CA", hint="make the request without basicConstraints CA:TRUE")
        elif isinstance(value, x509.KeyUsage):
            if value.key_cert_sign or value.crl_sign:
                raise BadInput("the request asks to sign certificates", hint="request the key usage digitalSignature alone")
        elif isinstance(value, x509.ExtendedKeyUsage):
            if ExtendedKeyUsageOID.CLIENT_AUTH not in value:
                raise BadInput(
                    "the request's extended key usage lacks clientAuth", hint="request clientAuth, or no extended key usage"
                )
        elif not isinstance(value, x509.SubjectKeyIdentifier):
            left_out.append(getattr(extension.oid, "_name", extension.oid.dotted_string))
    return tuple(left_out)
