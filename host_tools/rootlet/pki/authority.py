"""A certificate authority in a directory: its certificate, and its key in an encrypted file or outside (token, KMS)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer, PrivateKey, PublicKey
from rootlet.pki.external_key import FILE, KMS, PRIVATE_CA, TOKEN, ExternalKey, check_pair
from rootlet.pki.identity import DeviceIdentity, load_certificates
from rootlet.pki.keys import KeyType
from rootlet.pki.storage import check_vacant, write_directory
from rootlet.pki.subject import Subject, check_thing_name

if TYPE_CHECKING:
    from rootlet.pki.private_ca import PrivateCa

CERTIFICATE, KEY, CHAIN, HOLDER = "ca.crt", "ca.key", "chain.crt", "ca.json"

CA_DAYS = 20 * 365
DEVICE_DAYS = 10 * 365

NO_SUBJECT = Subject()


@dataclass(frozen=True)
class Authority:
    """A CA that can sign. Close it (or use ``with``) to end a token's session. Its repr never shows the key.

    ``above`` are the CAs that issued this one, nearest first; empty for a root. ``private_ca`` makes the certificates where
    AWS holds the whole CA.
    """

    issuer: Issuer = field(repr=False)
    directory: Path
    above: tuple[x509.Certificate, ...] = field(repr=False, default=())
    close: Callable[[], None] = field(repr=False, default=lambda: None)
    private_ca: "PrivateCa | None" = field(repr=False, default=None)

    @property
    def certificate(self) -> x509.Certificate:
        return self.issuer.certificate

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that follow a device's own: this CA, then those above it."""
        return (self.certificate, *self.above)

    @property
    def is_file(self) -> bool:
        """Whether the key is in a file, so that several processes can sign with it."""
        return not (self.directory / HOLDER).exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @classmethod
    def create(
        cls,
        directory: Path,
        passphrase: bytes,
        *,
        name: str,
        subject: Subject = NO_SUBJECT,
        key_type: KeyType = "ec-p256",
        days: int = CA_DAYS,
        path_length: int | None = None,
        parent: "Authority | None" = None,
    ) -> Self:
        """Create a CA in ``directory``, self-signed or signed by ``parent``; its key is encrypted with ``passphrase``.

        Raises BadInput where ``directory`` is not empty.
        """
        check_vacant(directory, "a CA")
        keys.check_passphrase(passphrase)
        key = keys.generate(key_type)
        certificate = _certify(subject.name(name), key, days, path_length, parent)
        above = parent.chain if parent else ()
        files = {KEY: keys.encrypted_pem(key, passphrase), **_certificate_files(certificate, above)}
        write_directory(directory, files, secret={KEY}, what="a CA")
        return cls(Issuer(certificate, key), directory, above)

    @staticmethod
    def check(*, name: str, subject: Subject, days: int, path_length: int | None, parent: "Authority | None") -> None:
        """Raise BadInput where no such CA can be created. A token or a service then makes no key in vain."""
        subject.name(name)
        certificates.check_profile(days, path_length, parent.issuer if parent else None)

    @classmethod
    def create_external(
        cls,
        directory: Path,
        external: ExternalKey,
        *,
        name: str,
        subject: Subject,
        days: int = CA_DAYS,
        path_length: int | None = None,
        parent: "Authority | None" = None,
    ) -> Self:
        """Create a CA whose key a token or a service holds. On any error a key created for it is removed again."""
        try:
            certificate = _certify(subject.name(name), external.key, days, path_length, parent)
            above = parent.chain if parent else ()
            files = {
                HOLDER: json.dumps(external.record, indent=2).encode() + b"\n",
                **_certificate_files(certificate, above),
            }
            write_directory(directory, files, secret=(), what="a CA")
        except BaseException:
            external.discard()
            external.close()
            raise
        return cls(Issuer(certificate, external.key), directory, above, external.close)

    @classmethod
    def connect(cls, directory: Path, arn: str) -> Self:
        """Make a CA in AWS Private CA the one in ``directory``. Raises BadInput, and RootletError where AWS refuses."""
        from rootlet.pki import private_ca

        check_vacant(directory, "a CA")
        remote = private_ca.use(arn)
        certificate, above = remote.certificates()
        certificates.check_authority(certificate)
        files = {HOLDER: json.dumps(remote.record, indent=2).encode() + b"\n", **_certificate_files(certificate, above)}
        write_directory(directory, files, secret=(), what="a CA")
        return cls(remote.issuer(certificate), directory, above, private_ca=remote)

    @classmethod
    def load(cls, directory: Path, secret: bytes | None) -> Self:
        """Open the CA in ``directory``. ``secret`` is its passphrase, or its token's PIN; None for AWS KMS and Private CA.

        Raises BadInput or RootletError; their texts never contain key, passphrase or PIN.
        """
        certificate, above = read_certificates(directory)
        record = read_holder(directory)
        if record["holder"] == PRIVATE_CA:
            from rootlet.pki import private_ca

            remote = private_ca.open_record(record)
            return cls(remote.issuer(certificate), directory, above, private_ca=remote)
        close: Callable[[], None] = lambda: None  # noqa: E731 - a default for what is a method elsewhere
        if record["holder"] == FILE:
            key = keys.load(directory / KEY, secret)
            if key.public_key() != certificate.public_key():
                raise BadInput(
                    f"{directory / KEY} is not the key of {directory / CERTIFICATE}",
                    hint="restore both files from one backup",
                )
        else:
            external = _open_external(record, certificates.supported_public_key(certificate.public_key()), secret)
            key, close = external.key, external.close
        return cls(Issuer(certificate, key), directory, above, close)

    def issue(
        self, thing: str, *, subject: Subject | None = None, key_type: KeyType = "ec-p256", days: int = DEVICE_DAYS
    ) -> DeviceIdentity:
        """A new key and certificate for ``thing``. Nothing is written."""
        key = keys.generate(key_type)
        name = (subject or Subject()).name(check_thing_name(thing))
        return DeviceIdentity(thing, self.certify_key(name, key, days), key, self.chain)

    def reissue(
        self,
        old: DeviceIdentity,
        *,
        subject: Subject | None = None,
        key_type: KeyType | None = None,
        days: int | None = None,
    ) -> DeviceIdentity:
        """A new key and certificate for the thing of ``old``, with its subject, key type and days unless given.

        Nothing is written. Raises BadInput where the old key is of a type that is not issued.
        """
        key = keys.generate(key_type or keys.type_of(old.key))
        name = subject.name(old.thing) if subject else old.certificate.subject
        days = days or certificates.days_of(old.certificate)
        return DeviceIdentity(old.thing, self.certify_key(name, key, days), key, self.chain)

    def certify(
        self,
        thing: str,
        public_key: PublicKey,
        *,
        subject: Subject | None = None,
        days: int = DEVICE_DAYS,
        request: x509.CertificateSigningRequest | None = None,
    ) -> x509.Certificate:
        """A certificate for ``thing`` and the public half of its key. Nothing is written.

        AWS Private CA needs the ``request`` that the key signed. Raises BadInput without.
        """
        name = (subject or Subject()).name(check_thing_name(thing))
        if self.private_ca is None:
            return certificates.device(name, public_key, self.issuer, days=days)
        if request is None:
            raise BadInput(
                "AWS Private CA certifies a key only by its owner's certificate request",
                hint="use a CA whose key is in a file, a token or KMS where keys are made elsewhere",
            )
        return self.private_ca.certify(request, name, self.certificate, days)

    def certify_key(self, name: x509.Name, key: PrivateKey, days: int) -> x509.Certificate:
        """A certificate for a key that is at hand."""
        if self.private_ca is None:
            return certificates.device(name, key.public_key(), self.issuer, days=days)
        from rootlet.pki.private_ca import request_for

        return self.private_ca.certify(request_for(name, key), name, self.certificate, days)

    def prove_possession(self, code: str) -> x509.Certificate:
        """The verification certificate for a registration code of AWS IoT: it proves that this CA's key is at hand.

        The certificate's own key is discarded: AWS IoT checks the CA's signature only. Raises BadInput for a bad code.
        """
        if not code.isascii() or not code.isalnum() or len(code) > 64:
            raise BadInput(
                f"{code!r} is not a registration code", hint="copy what GetRegistrationCode returned: 64 hex digits"
            )
        key = keys.generate()
        if self.private_ca is not None:
            return self.certify_key(NO_SUBJECT.name(code), key, certificates.VERIFICATION_DAYS)
        return certificates.verification(code, key.public_key(), self.issuer)


def read_certificates(directory: Path) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """A CA's own certificate, and those above it. Raises BadInput where ``directory`` holds no CA."""
    if not (directory / CERTIFICATE).exists():
        raise BadInput(f"no CA in {directory}", hint=f"create one: rootlet ca create {directory}")
    certificate = load_certificates(directory / CERTIFICATE)[0]
    certificates.check_authority(certificate)
    above = tuple(load_certificates(directory / CHAIN)) if (directory / CHAIN).exists() else ()
    return certificate, above


def read_holder(directory: Path) -> dict[str, str]:
    """The record of who holds the CA's key: ``{"holder": "file"}``, or the one a token's or a service's module wrote."""
    path = directory / HOLDER
    if not path.exists():
        return {"holder": FILE}
    try:
        record = json.loads(read_input(path, "the CA's ca.json"))
        if record["holder"] not in (TOKEN, KMS, PRIVATE_CA):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path} is not a valid record of the CA's key", hint="restore it from a backup") from None
    return {str(key): str(value) for key, value in record.items()}


def _open_external(record: dict[str, str], public_key: PublicKey, secret: bytes | None) -> ExternalKey:
    # Imported here: neither python-pkcs11 nor boto3 is needed for a CA whose key is a file.
    if record["holder"] == TOKEN:
        from rootlet.pki import pkcs11

        external = pkcs11.open_key(record, public_key, secret or b"")
    else:
        from rootlet.pki import kms

        external = kms.open_key(record, public_key)
    try:
        check_pair(external.key, public_key, f"the key that {record['holder']} holds")
    except RootletError:
        external.close()
        raise
    return external


def _certify(
    name: x509.Name, key: PrivateKey, days: int, path_length: int | None, parent: Authority | None
) -> x509.Certificate:
    if parent is None:
        return certificates.root(name, key, days=days, path_length=path_length)
    return certificates.intermediate(name, key.public_key(), parent.issuer, days=days, path_length=path_length or 0)


def _certificate_files(certificate: x509.Certificate, above: tuple[x509.Certificate, ...]) -> dict[str, bytes]:
    files = {CERTIFICATE: certificate.public_bytes(Encoding.PEM)}
    if above:
        files[CHAIN] = b"".join(issuer.public_bytes(Encoding.PEM) for issuer in above)
    return files
