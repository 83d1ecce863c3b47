"""The one factory of the tests' certificates: whatever a test wants a certificate to say, right or wrong."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from rootlet.pki.certificates import Issuer, PrivateKey, serial_number

DAY = dt.timedelta(days=1)

Extension = tuple[x509.ExtensionType, bool]
"""And whether it is critical."""


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(
    subject: x509.Name | str,
    key: PrivateKey,
    extensions: Sequence[Extension] = (),
    *,
    by: Issuer | None = None,
    issuer: x509.Name | None = None,
    valid: tuple[float, float] = (-1, 1),
    serial: int | None = None,
    digest: Any = None,
    padding: Any = None,
) -> x509.Certificate:
    """A certificate for ``key`` with these extensions and no others; ``valid`` in days from now.

    Without ``by`` it is self-signed. ``issuer`` is another name for the issuer than the signer's own.
    """
    name = common_name(subject) if isinstance(subject, str) else subject
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    builder = x509.CertificateBuilder(
        issuer or (by.certificate.subject if by else name), name, key.public_key(), serial or serial_number()
    )
    builder = builder.not_valid_before(now + valid[0] * DAY).not_valid_after(now + valid[1] * DAY)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(by.key if by else key, digest or hashes.SHA256(), rsa_padding=padding)
