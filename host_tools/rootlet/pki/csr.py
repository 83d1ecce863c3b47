"""Certificate signing requests (PKCS#10, RFC 2986): what is taken from them, and what is not.

A request proves one thing, that its sender holds the private key. Whatever else it asks for is the sender's wish: the name
must be the thing's, and the rest of the subject comes from the batch, because AWS IoT policies decide by it.
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
    """What a request may have: a certificate for ``thing`` with ``public_key``. ``left_out`` says what it asked in vain."""

    thing: str
    public_key: PublicKey
    left_out: tuple[str, ...]


def read(path: Path, thing: str | None = None) -> CheckedRequest:
    """Read and check a request, PEM or DER; ``thing``, where given, must be its common name. Raises BadInput."""
    data = read_input(path, "certificate signing request")
    try:
        load = x509.load_pem_x509_csr if b"-----BEGIN" in data else x509.load_der_x509_csr
        return check(load(data), thing)
    except UNREADABLE:
        raise BadInput(
            f"{path} is no certificate signing request", hint="make one: openssl req -new -key device.key"
        ) from None


def check(request: x509.CertificateSigningRequest, thing: str | None = None) -> CheckedRequest:
    """Check a request's signature, key, name and extensions. Raises BadInput."""
    public_key = supported_public_key(request.public_key())
    try:
        valid = request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm):
        valid = False
    if not valid:
        raise BadInput(
            "the request's signature is wrong: whoever sent it has not shown that they hold the key",
            hint="make the request again with that key",
        )
    names = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) > 1:
        raise BadInput("the request has several common names", hint="make it again with the thing's name alone")
    if names and thing and names[0] != thing:
        raise BadInput(f"the request is for {names[0]!r}, not for {thing!r}", hint="name the thing it is for")
    if not names and not thing:
        raise BadInput("the request has no common name", hint="name the thing: rootlet device issue THING --csr …")
    others = tuple(part.rfc4514_string() for part in request.subject if part.oid != NameOID.COMMON_NAME)
    return CheckedRequest(check_thing_name(thing or names[0]), public_key, others + _check_extensions(request))


def _check_extensions(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Refuse what a device's certificate cannot be; return the names of what it will not have."""
    left_out = []
    for extension in request.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            if value.ca:
                raise BadInput("the request asks to be a CA", hint="a device's certificate is none: ask without it")
        elif isinstance(value, x509.KeyUsage):
            if value.key_cert_sign or value.crl_sign:
                raise BadInput("the request asks to sign certificates", hint="ask for digitalSignature alone")
        elif isinstance(value, x509.ExtendedKeyUsage):
            if ExtendedKeyUsageOID.CLIENT_AUTH not in value:
                raise BadInput("the request's extended key usage lacks clientAuth", hint="ask for clientAuth, or for none")
        elif not isinstance(value, x509.SubjectKeyIdentifier):
            left_out.append(getattr(extension.oid, "_name", extension.oid.dotted_string))
    return tuple(left_out)
