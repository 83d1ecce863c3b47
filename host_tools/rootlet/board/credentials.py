"""The credentials in a board's flash, readable or not, and the guard against losing them.

A private key may exist nowhere else, and what Rootlet cannot read may be all the same what another firmware needs: a key
bound to the chip's eFuses, or a partition that only a repair at the bench can read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from rootlet.board import flasher, partitions, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.definition import list_boards
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput, RootletError
from rootlet.files import write_secret
from rootlet.pki.identity import DeviceIdentity, certificate_id, common_name

USUAL_SIZE = 0x800
"""Bytes that certificate, key and issuer take, where the keys are not RSA."""


@dataclass(frozen=True)
class BoardCredentials:
    """What is not erased where a board's credentials belong. ``problem`` says why Rootlet cannot use it as an identity.

    ``certificate`` is None where not even that can be read, ``identity`` where certificate or key cannot. The repr does not
    show ``data``: it may hold a private key.
    """

    data: bytes = field(repr=False)
    certificate: x509.Certificate | None
    issuers: tuple[x509.Certificate, ...]
    identity: DeviceIdentity | None
    problem: str | None

    @property
    def thing(self) -> str | None:
        """The thing's name, which is the certificate's common name unless another stands beside it."""
        if self.identity is not None:
            return self.identity.thing
        try:
            return common_name(self.certificate) if self.certificate else None
        except BadInput:
            return None

    @property
    def certificate_id(self) -> str | None:
        """What AWS IoT calls the certificate."""
        return certificate_id(self.certificate) if self.certificate else None

    def __str__(self) -> str:
        why = f": {self.problem}" if self.problem else ""
        if self.certificate is None:
            return f"credentials that cannot be read{why}"
        return f"the identity of {self.thing or 'an unnamed thing'} (certificate {str(self.certificate_id)[:16]}…){why}"

    def is_safe_with(self, expected: DeviceIdentity) -> bool:
        """Whether nothing is lost when ``expected`` is written here: it is the same, or part of it, cut short before.

        Programming flash only clears bits, so what was cut short has no bit cleared that ``expected`` has set.
        """
        wanted = secure_cert.from_identity(expected)
        begun = all(here & there == there for here, there in zip(self.data, wanted, strict=False))
        return begun or self.certificate_id == expected.certificate_id


def look(chip: Chip, image_place: Partition | None = None) -> BoardCredentials | None:
    """What the board has for credentials; None where that part of its flash is erased or belongs to something else.

    The board's partition table says where they are. Where it names no such partition, or cannot be read, they are looked for
    at the places that Rootlet's boards with this chip have for them. Without a table, ``image_place``, where an image is
    about to put its own, counts with whatever is there. Raises Unreachable.
    """
    try:
        table = flasher.read_table(chip)
    except BadInput:
        table = ()
    named = [place for place in table if place.label == partitions.SECURE_CERT]
    if not named and not table and image_place is not None:
        named = [image_place]
    found = [decoded for place in named if (decoded := _read_place(chip, place)) is not None]
    if found or any(place in table for place in named):
        return next(iter(found), None)
    unnamed = [place for place in _usual_places(chip.name, image_place) if _has_magic(chip, place)]
    return _read_place(chip, unnamed[0]) if unnamed else None


def guard(chip: Chip, expected: DeviceIdentity | None, replace: bool, image_place: Partition | None = None) -> None:
    """Refuse to write over credentials that are not the ``expected`` ones.

    Raises BadInput, and Unreachable where it cannot be seen what the board has.
    """
    found = look(chip, image_place)
    if found is None or replace or (expected is not None and found.is_safe_with(expected)):
        return
    raise BadInput(
        f"the board carries {found}; it would be lost",
        hint="check that it is the right board (rootlet info); to overwrite what it carries: --replace",
    )


def erase_all(chip: Chip, thing: str | None, mac: str) -> BoardCredentials | None:
    """Erase the whole flash; return the credentials that went with it.

    ``thing`` must name the device whose identity that is; ``mac``, the board's address, does where it has no name.
    Raises BadInput, with nothing erased, where neither does, and RootletError where the flash is not empty afterwards.
    """
    found = look(chip)
    if found is not None and found.thing is not None and found.thing != thing:
        raise BadInput(f"the board carries {found}", hint=f"confirm: --thing {found.thing}")
    if found is not None and found.thing is None and mac.lower() != chip.mac.lower():
        raise BadInput(
            f"the board carries {found}", hint=f"if nobody needs them, confirm the board's MAC address: --confirm {chip.mac}"
        )
    chip.erase_all()
    if chip.md5(0, chip.flash_size) != flasher.erased_md5(chip.flash_size):
        raise RootletError("the flash is not empty after the erase", hint="run it again; the flash chip may be at fault")
    return found


def write_file(path: Path, identity: DeviceIdentity) -> int:
    """Write an identity's credential partition to a file (0600); return its size in bytes.

    Raises BadInput where the file holds other credentials, as a dump of a board's partition does.
    """
    if path.is_file() and (old := path.read_bytes()).startswith(secure_cert.MAGIC_BYTES):
        found = decode(old)
        if not found.is_safe_with(identity):
            raise BadInput(f"{path} holds {found}; it would be lost", hint="choose another file: --output")
    partition = secure_cert.from_identity(identity)
    write_secret(path, partition)
    return len(partition)


def decode(data: bytes) -> BoardCredentials:
    """What a credential partition that is not erased holds."""
    identity: DeviceIdentity | None = None
    problem: str | None = None
    certificate: x509.Certificate | None = None
    issuers: tuple[x509.Certificate, ...] = ()
    try:
        certificate, issuers = secure_cert.to_certificates(data)
        identity = secure_cert.to_identity(data)
    except RootletError as error:
        problem = error.what
    return BoardCredentials(data, certificate, issuers, identity, problem)


def read(chip: Chip, place: Partition) -> bytes:
    """The credential partition up to where it is erased: less to read than all of it."""
    data = chip.read(place.offset, min(USUAL_SIZE, place.size))
    end = flasher.ERASED * secure_cert.ALIGNMENT  # an entry's length at least: nothing follows
    if data.endswith(end) and not data.startswith(end):
        return data
    return chip.read(place.offset, place.size)


def _read_place(chip: Chip, place: Partition) -> BoardCredentials | None:
    if chip.md5(place.offset, place.size) == flasher.erased_md5(place.size):
        return None
    return decode(read(chip, place))


def _has_magic(chip: Chip, place: Partition) -> bool:
    return chip.read(place.offset, secure_cert.ALIGNMENT).startswith(secure_cert.MAGIC_BYTES)


def _usual_places(chip: str, image_place: Partition | None) -> Iterable[Partition]:
    known = [partitions.find(board.partitions, partitions.SECURE_CERT) for board in list_boards() if board.chip == chip]
    return dict.fromkeys([*([image_place] if image_place else []), *known])
