"""A certificate authority in a directory: its certificate, and its key encrypted beside it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from rootlet.errors import BadInput
from rootlet.files import make_private_directory, write_atomic
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity, check_thing_name, load_certificates
from rootlet.pki.keys import KeyType

CERTIFICATE, KEY = "ca.crt", "ca.key"

CA_DAYS = 20 * 365
DEVICE_DAYS = 10 * 365


@dataclass(frozen=True)
class Subject:
    """The parts of a subject's name that a batch shares (AWS IoT policies can tell customers apart by them)."""

    organization: str | None = None
    organizational_unit: str | None = None
    country: str | None = None
    serial_number: str | None = None

    def name(self, common: str) -> x509.Name:
        """The distinguished name with ``common`` as its common name. Raises BadInput for what X.509 does not take."""
        parts = (
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.organizational_unit),
            (NameOID.SERIAL_NUMBER, self.serial_number),
            (NameOID.COMMON_NAME, common),
        )
        try:
            return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value is not None])
        except ValueError as error:
            raise BadInput(f"the subject's name cannot be used: {error}", way_out="shorten or correct it") from None


@dataclass(frozen=True)
class Authority:
    """A CA that can sign. The key never leaves the object, and its repr does not show it."""

    issuer: Issuer = field(repr=False)
    directory: Path

    @property
    def certificate(self) -> x509.Certificate:
        return self.issuer.certificate

    @classmethod
    def create(
        cls,
        directory: Path,
        passphrase: bytes,
        *,
        name: str,
        subject: Subject,
        key_type: KeyType = "ec-p256",
        days: int = CA_DAYS,
    ) -> Self:
        """Mint a self-signed CA into ``directory``. Raises BadInput where one lies there already."""
        if (directory / KEY).exists() or (directory / CERTIFICATE).exists():
            raise BadInput(f"{directory} holds a CA already", way_out="choose another directory, or use that CA")
        key = keys.generate(key_type)
        certificate = certificates.root(subject.name(name), key, days=days)
        make_private_directory(directory)
        keys.save_encrypted(directory / KEY, key, passphrase)
        write_atomic(directory / CERTIFICATE, certificate.public_bytes(Encoding.PEM))
        return cls(Issuer(certificate, key), directory)

    @classmethod
    def load(cls, directory: Path, passphrase: bytes) -> Self:
        """Open the CA in ``directory``. Raises BadInput or RootletError, never showing key or passphrase."""
        if not (directory / CERTIFICATE).exists():
            raise BadInput(f"no CA in {directory}", way_out=f"create one: rootlet ca create {directory}")
        certificate = load_certificates(directory / CERTIFICATE)[0]
        key = keys.load(directory / KEY, passphrase)
        if key.public_key() != certificate.public_key():
            raise BadInput(f"{directory / KEY} is not the key of {directory / CERTIFICATE}", way_out="restore the pair")
        return cls(Issuer(certificate, key), directory)

    def issue(
        self, thing: str, *, subject: Subject | None = None, key_type: KeyType = "ec-p256", days: int = DEVICE_DAYS
    ) -> DeviceIdentity:
        """Make a key and a certificate for ``thing``. Nothing is written."""
        name = (subject or Subject()).name(check_thing_name(thing))
        key = keys.generate(key_type)
        certificate = certificates.device(name, key.public_key(), self.issuer, days=days)
        return DeviceIdentity(thing, certificate, key, (self.certificate,))
