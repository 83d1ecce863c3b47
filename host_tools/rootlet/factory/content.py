"""What a station writes to a board, and how it proves it: plain, or encrypted with a key of that board's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from cryptography import x509

from rootlet.board import credentials, flasher, partitions, sealing, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.flasher import Region
from rootlet.board.images import ImageFile
from rootlet.board.sealing import SealedImage
from rootlet.errors import RootletError
from rootlet.factory.records import SealedBoard
from rootlet.pki.certificates import supported_public_key
from rootlet.pki.external_key import is_pair
from rootlet.pki.identity import DeviceIdentity


class Content(Protocol):
    """The image and the credentials of one board."""

    @property
    def image(self) -> list[Region]:
        """The regions besides the credentials."""

    @property
    def detail(self) -> Mapping[str, Any]:
        """What the ledger keeps of the credentials, before they are written."""

    @property
    def key(self) -> bytes | None:
        """The key of the flash encryption that belongs into the board's eFuses; None without one, or no longer."""

    def write_credentials(self, chip: Chip, /) -> None:
        """Write them, and compare what the chip says that it holds."""

    def prove(self, chip: Chip, certificate: x509.Certificate, /) -> None:
        """Raise RootletError where the board does not have ``certificate`` and its key."""


@dataclass(frozen=True)
class PlainContent:
    """As it is. ``identity`` is None where the board has its credentials already. The repr shows no key."""

    file: ImageFile | None
    identity: DeviceIdentity | None = field(repr=False)
    detail: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    key: ClassVar[bytes | None] = None

    @property
    def image(self) -> list[Region]:
        assert self.file is not None
        return [region for region in flasher.regions(self.file.data) if region.name != partitions.SECURE_CERT]

    def write_credentials(self, chip: Chip) -> None:
        if self.identity is not None:
            flasher.write_identity(chip, self.identity)

    def prove(self, chip: Chip, certificate: x509.Certificate) -> None:
        prove(chip, certificate)


@dataclass(frozen=True)
class SealedContent:
    """Encrypted for one board, whose key is in this process only until its eFuses have it. The repr shows no key."""

    sealed: SealedImage = field(repr=False)

    @property
    def image(self) -> list[Region]:
        return list(self.sealed.regions)

    @property
    def detail(self) -> Mapping[str, Any]:
        place = self.sealed.credentials
        return {"sealed": {"offset": place.offset, "size": len(place.data), "md5": self.sealed.mark}}

    @property
    def key(self) -> bytes | None:
        return self.sealed.key

    def write_credentials(self, chip: Chip) -> None:
        flasher.write_region(chip, self.sealed.credentials)
        flasher.confirm(chip, self.sealed.credentials)

    def prove(self, chip: Chip, certificate: x509.Certificate) -> None:
        place = self.sealed.credentials
        _check(self.sealed.unsealed(chip.read(place.offset, len(place.data))), certificate)


@dataclass(frozen=True)
class WrittenContent:
    """What an earlier visit wrote, encrypted: its key is in the board's eFuses only, and the ledger knows its mark."""

    known: SealedBoard
    detail: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    key: ClassVar[bytes | None] = None

    @property
    def image(self) -> list[Region]:
        raise AssertionError("an encrypted board is not written again")

    def write_credentials(self, _chip: Chip) -> None:
        raise AssertionError("an encrypted board is not written again")

    def prove(self, chip: Chip, _certificate: x509.Certificate) -> None:
        if not holds(chip, self.known):
            raise RootletError("the board's encrypted credentials are not what was written", hint=flasher.AGAIN)


def seal(file: ImageFile, identity: DeviceIdentity) -> SealedContent:
    """The image with ``identity``, encrypted with a new key."""
    return SealedContent(sealing.seal(flasher.with_identity(file.data, identity), file.chip, sealing.new_key()))


def holds(chip: Chip, known: SealedBoard) -> bool:
    """Whether a board's flash has the encrypted credentials that were written to it."""
    return chip.md5(known.offset, known.size) == known.md5


def prove(chip: Chip, certificate: x509.Certificate) -> None:
    """Read the credentials back and check that the board has ``certificate`` and its key.

    Raises RootletError where it does not.
    """
    place = partitions.find(flasher.read_table(chip), partitions.SECURE_CERT)
    _check(credentials.read(chip, place), certificate)


def _check(data: bytes, certificate: x509.Certificate) -> None:
    found = secure_cert.to_identity(data)
    if found.certificate != certificate:
        raise RootletError(f"the board has a certificate of {found.thing} that is not the ledger's", hint=flasher.AGAIN)
    if not is_pair(found.key, supported_public_key(certificate.public_key())):
        raise RootletError("the key on the board does not match its certificate", hint=flasher.AGAIN)
