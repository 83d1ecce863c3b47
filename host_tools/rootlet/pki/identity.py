"""A device's identity: the certificate that names the thing, its private key, and who issued it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.errors import BadInput
from rootlet.files import make_private_directory, read_input, write_atomic, write_secret
from rootlet.pki import keys
from rootlet.pki.certificates import PrivateKey

CERTIFICATE, KEY, ISSUERS = "device.crt", "device.key", "issuer.crt"

_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
COMMON_NAME_LIMIT = 64  # characters, RFC 5280 upper bound ub-common-name


@dataclass(frozen=True)
class DeviceIdentity:
    """What makes a board this thing and no other. ``issuers`` runs from the device's issuer towards the root."""

    thing: str
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()

    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def key_der(self) -> bytes:
        return keys.der(self.key)

    @property
    def certificate_id(self) -> str:
        """The id that AWS IoT gives the certificate: SHA-256 of its DER, in hexadecimal (seen in emulators)."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def save(self, directory: Path) -> None:
        """Write certificate, key (0600) and issuers into ``directory``, made 0700 where it is new.

        Raises BadInput where the directory holds a key already: a key is never overwritten.
        """
        if (directory / KEY).exists():
            raise BadInput(
                f"{directory} holds an identity already", way_out="choose another name, or move that directory away"
            )
        make_private_directory(directory)
        # The key first: a certificate whose key was lost is worth nothing.
        write_secret(directory / KEY, keys.pem(self.key))
        write_atomic(directory / ISSUERS, b"".join(issuer.public_bytes(Encoding.PEM) for issuer in self.issuers))
        write_atomic(directory / CERTIFICATE, self.certificate.public_bytes(Encoding.PEM))

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote. Raises BadInput for missing files and for a key that is not the certificate's."""
        certificate = load_certificates(directory / CERTIFICATE)[0]
        key = keys.load(directory / KEY)
        if key.public_key() != certificate.public_key():
            raise BadInput(
                f"{directory / KEY} is not the key of {directory / CERTIFICATE}",
                way_out="put back the pair that was issued together",
            )
        issuers = tuple(load_certificates(directory / ISSUERS)) if (directory / ISSUERS).exists() else ()
        return cls(common_name(certificate), certificate, key, issuers)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read one or more PEM certificates. Raises BadInput."""
    data = read_input(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise BadInput(f"{path} holds no PEM certificate", way_out="check the path, or convert it from DER") from None


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name: the thing's name. Raises BadInput where there is none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise BadInput("the certificate's subject has no common name", way_out="issue it with rootlet device issue")
    return str(names[0].value)


def check_thing_name(name: str) -> str:
    """Return ``name`` where AWS IoT takes it as a thing's name and X.509 as a common name. Raises BadInput."""
    if not _THING.fullmatch(name):
        raise BadInput(
            f"{name!r} is no thing name", way_out="use letters, digits, colon, underscore and hyphen (AWS IoT's rule)"
        )
    if len(name) > COMMON_NAME_LIMIT:
        raise BadInput(
            f"the thing name is {len(name)} characters long",
            way_out=f"use {COMMON_NAME_LIMIT} or fewer: it becomes the certificate's common name (RFC 5280)",
        )
    return name
