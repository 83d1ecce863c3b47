"""A device's identity: its certificate, which names the thing, its private key, and its issuers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.errors import BadInput
from rootlet.files import read_input, write_atomic
from rootlet.pki import keys
from rootlet.pki.certificates import UNREADABLE, PrivateKey, whole
from rootlet.pki.storage import write_directory
from rootlet.pki.subject import check_thing_name

CERTIFICATE, KEY, ISSUERS, THING = "device.crt", "device.key", "issuer.crt", "thing.txt"
"""The files in a device's directory. The thing's name stands in one only where the certificate does not name it."""


@dataclass(frozen=True)
class DeviceIdentity:
    """A device's credentials. ``issuers`` is the chain above the certificate, from the device's issuer towards the root."""

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
        """AWS IoT's certificate ID."""
        return certificate_id(self.certificate)

    def save(self, directory: Path) -> None:
        """Write certificate, key (0600) and issuers into ``directory`` (0700): all of them or none.

        Raises BadInput where ``directory`` is not empty: a key is never overwritten.
        """
        write_directory(
            directory,
            {KEY: keys.pem(self.key), **certificate_files(self.certificate, self.issuers, self.thing)},
            secret={KEY},
            what="an identity",
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The identity that ``save`` wrote. Raises BadInput for a missing file, or a key that does not match."""
        certificate = load_certificates(directory / CERTIFICATE)[0]
        key = keys.load(directory / KEY)
        if key.public_key() != certificate.public_key():
            raise BadInput(
                f"{directory / KEY} is not the key of {directory / CERTIFICATE}",
                hint="restore the two files that were issued together",
            )
        issuers = tuple(load_certificates(directory / ISSUERS)) if (directory / ISSUERS).exists() else ()
        return cls(thing_in(directory, certificate), certificate, key, issuers)


@dataclass(frozen=True)
class PublicIdentity:
    """A device's identity without its private key: all that the cloud needs."""

    thing: str
    certificate: x509.Certificate
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_id(self) -> str:
        """As ``DeviceIdentity``'s."""
        return certificate_id(self.certificate)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """That of a device's directory, with or without a key in it. Raises BadInput."""
        if (directory / KEY).exists():
            whole_one = DeviceIdentity.load(directory)
            return cls(whole_one.thing, whole_one.certificate, whole_one.issuers)
        certificate = load_certificates(directory / CERTIFICATE)[0]
        issuers = tuple(load_certificates(directory / ISSUERS)) if (directory / ISSUERS).exists() else ()
        return cls(thing_in(directory, certificate), certificate, issuers)

    def note(self, directory: Path) -> None:
        """Write the thing's name into the identity's ``directory``, where the certificate does not say it."""
        if names(self.certificate, self.thing):
            (directory / THING).unlink(missing_ok=True)
        else:
            write_atomic(directory / THING, f"{self.thing}\n".encode())


def certificate_id(certificate: x509.Certificate) -> str:
    """AWS IoT's certificate ID: SHA-256 of the DER, in hexadecimal (observed in emulators)."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def certificate_files(
    certificate: x509.Certificate, issuers: Sequence[x509.Certificate], thing: str | None = None
) -> dict[str, bytes]:
    """The files of a device's directory besides the key. ``thing`` is the certificate's common name unless given."""
    files = {CERTIFICATE: certificate.public_bytes(Encoding.PEM)}
    if issuers:
        files[ISSUERS] = b"".join(issuer.public_bytes(Encoding.PEM) for issuer in issuers)
    if thing and not names(certificate, thing):
        files[THING] = f"{thing}\n".encode()
    return files


def names(certificate: x509.Certificate, thing: str) -> bool:
    """Whether a certificate's common name is ``thing``, as it is in all that Rootlet issues."""
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [thing]


def thing_in(directory: Path, certificate: x509.Certificate) -> str:
    """The thing of the identity in ``directory``, whose certificate that is. Raises BadInput where nothing names it."""
    if not (directory / THING).exists():
        return common_name(certificate)
    return check_thing_name(read_input(directory / THING, "thing name").decode(errors="replace").strip())


def load_certificates(path: Path) -> list[x509.Certificate]:
    """The PEM certificates in a file, one or more. Raises BadInput."""
    data = read_input(path, "certificate")
    try:
        return list(map(whole, x509.load_pem_x509_certificates(data)))
    except UNREADABLE:
        raise BadInput(
            f"{path} holds no PEM certificate", hint="check the path, or convert the file: openssl x509 -inform DER"
        ) from None


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, which is the thing name. Raises BadInput where there is none."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not names:
        raise BadInput(
            "the certificate's subject has no common name", hint="issue the certificate with rootlet device issue"
        )
    return str(names[0].value)
