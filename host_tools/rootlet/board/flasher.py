"""Writing a flash image to a chip: only what differs, and every byte proved afterwards."""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rootlet.board import filesystem, partitions, secure_cert
from rootlet.board.chip import SECTOR, Chip, Progress, WrongBoard
from rootlet.board.inspect_image import TABLE
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput, RootletError
from rootlet.pki.identity import DeviceIdentity

BLOCK = 0x10000
"""What is hashed at once before it is hashed sector by sector, in bytes."""

AGAIN = "run the command again; if that repeats, the flash chip or the power supply is at fault"
USUAL_TABLE = 0x200
"""The table of all but a few boards ends within this many bytes: less to read."""

ERASED = b"\xff"


@dataclass(frozen=True)
class Region:
    """A named range of flash and what it is to hold. The repr never shows it: it may be a private key."""

    name: str
    offset: int
    data: bytes = field(repr=False)

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


@dataclass(frozen=True)
class WriteResult:
    """What a run did. ``written`` and ``total`` are bytes of flash; ``sent`` and ``received`` bytes on the wire."""

    written: int
    total: int
    regions: tuple[str, ...]
    sent: int
    received: int
    seconds: float


def regions(flash: bytes) -> list[Region]:
    """The image's regions, without gaps: boot, partition table, each partition, vfs. Raises BadInput."""
    table = partitions.decode(flash[TABLE : TABLE + partitions.TABLE_SIZE])
    vfs = partitions.vfs(table, len(flash))
    places = sorted({*table, vfs}, key=lambda partition: partition.offset)
    found = [Region("bootloader", 0, flash[:TABLE]), Region("partition table", TABLE, flash[TABLE : TABLE + SECTOR])]
    for place in places:
        if place.offset > found[-1].end:
            found.append(Region(f"gap before {place.label}", found[-1].end, flash[found[-1].end : place.offset]))
        found.append(Region(place.label, place.offset, flash[place.offset : place.end]))
    if found[-1].end < len(flash):
        found.append(Region("rest", found[-1].end, flash[found[-1].end :]))
    return found


def with_identity(flash: bytes, identity: DeviceIdentity) -> bytes:
    """A golden image made this device's."""
    table = partitions.decode(flash[TABLE : TABLE + partitions.TABLE_SIZE])
    place = partitions.find(table, partitions.SECURE_CERT)
    return flash[: place.offset] + secure_cert.from_identity(identity) + flash[place.offset + partitions.SECURE_CERT_SIZE :]


def check_fit(chip: Chip, flash: bytes) -> None:
    """Raise WrongBoard where the image is not for this size of flash."""
    if len(flash) == chip.flash_size:
        return
    have, need = f"{chip.flash_size >> 20} MiB", f"{len(flash) >> 20} MiB"
    table = partitions.decode(flash[TABLE : TABLE + partitions.TABLE_SIZE])
    if len(flash) > chip.flash_size or not any(partition.label == "vfs" for partition in table):
        # MicroPython takes vfs up to the real end of flash, and does not mount one of another size.
        raise WrongBoard(
            f"the image is for {need} of flash, the chip has {have}",
            hint=f"build it with --flash-size {chip.flash_size >> 20}",
        )


def burn(chip: Chip, wanted: Sequence[Region], progress: Progress | None = None) -> WriteResult:
    """Make the chip's flash hold ``wanted``. A second run after an interruption sends only what is still missing.

    Raises RootletError where a region differs after writing.
    """
    began, before = time.monotonic(), (chip.wire.sent, chip.wire.received)
    touched: list[str] = []
    written = 0
    # Credentials last: a board that was interrupted has none, and connects nowhere half-written.
    for region in sorted(wanted, key=lambda region: region.name == partitions.SECURE_CERT):
        size = write_region(chip, region, progress)
        if size:
            touched.append(region.name)
            written += size
    for region in wanted:
        confirm(chip, region)
    sent, received = chip.wire.sent - before[0], chip.wire.received - before[1]
    total = sum(len(region.data) for region in wanted)
    return WriteResult(written, total, tuple(touched), sent, received, time.monotonic() - began)


def write_region(chip: Chip, region: Region, progress: Progress | None = None) -> int:
    """Write the sectors of a region that differ; return how many bytes of flash that were."""
    written = 0
    sent = 0
    for offset, data in _runs(region, differing(chip, region)):
        if data.count(ERASED) == len(data):
            chip.erase(offset, len(data))
        else:
            chip.write(offset, data, progress)
            sent += len(data)
        written += len(data)
    if progress:
        progress(len(region.data) - sent)
    return written


def differing(chip: Chip, region: Region) -> list[int]:
    """The offsets of the sectors that differ, by MD5: the whole region, then its blocks, then their sectors."""
    if _same(chip, region.offset, region.data):
        return []
    sectors = []
    for start in range(region.offset, region.end, BLOCK):
        block = region.data[start - region.offset :][:BLOCK]
        if len(region.data) > BLOCK and _same(chip, start, block):
            continue
        pieces = range(start, start + len(block), SECTOR)
        sectors += [at for at in pieces if not _same(chip, at, region.data[at - region.offset :][:SECTOR])]
    return sectors


def confirm(chip: Chip, region: Region) -> None:
    """Raise RootletError where the chip does not hold the region."""
    if not _same(chip, region.offset, region.data):
        raise RootletError(
            f"{region.name} at 0x{region.offset:x} differs from what was written",
            hint=AGAIN,
        )


def read_table(chip: Chip) -> tuple[Partition, ...]:
    """The chip's partition table. Raises BadInput where it has none."""
    try:
        return partitions.decode(chip.read(TABLE, USUAL_TABLE))
    except BadInput:
        return partitions.decode(chip.read(TABLE, partitions.TABLE_SIZE))


def read_identity(chip: Chip, table: Iterable[Partition]) -> DeviceIdentity | None:
    """The identity on the chip; None where its partition is missing or erased. Raises RootletError for a damaged one."""
    for partition in table:
        if partition.label == partitions.SECURE_CERT:
            data = chip.read(partition.offset, partition.size)
            return None if data.count(ERASED) == len(data) else secure_cert.to_identity(data)
    return None


def check_identity(chip: Chip, expected: DeviceIdentity, table: Iterable[Partition]) -> None:
    """Read the credentials back, byte for byte: certificate and key belong together and are the ones meant."""
    place = partitions.find(tuple(table), partitions.SECURE_CERT)
    wanted = secure_cert.from_identity(expected)
    if _same(chip, place.offset, wanted):
        # The erased rest needs no trip over the wire: the hash has it.
        # Up to a whole entry, since its checksum may end in a byte that looks erased.
        length = -(-len(wanted.rstrip(ERASED)) // secure_cert.ALIGNMENT) * secure_cert.ALIGNMENT
        data = chip.read(place.offset, length)
        if data == wanted[:length] and secure_cert.to_identity(data).certificate_id == expected.certificate_id:
            return
        raise RootletError("the credentials read back differently from their hash", hint=AGAIN)
    found = secure_cert.to_identity(chip.read(place.offset, place.size))
    raise RootletError(
        f"the board carries {found.thing} ({found.certificate_id}), not {expected.thing} ({expected.certificate_id})",
        hint=AGAIN,
    )


def write_identity(chip: Chip, identity: DeviceIdentity, progress: Progress | None = None) -> WriteResult:
    """Write one device's credentials, at most 8 KiB, to a board that carries the golden image. Raises RootletError."""
    began, before = time.monotonic(), (chip.wire.sent, chip.wire.received)
    table = read_table(chip)
    place = partitions.find(table, partitions.SECURE_CERT)
    region = Region(partitions.SECURE_CERT, place.offset, secure_cert.from_identity(identity))
    written = write_region(chip, region, progress)
    check_identity(chip, identity, table)
    touched = (region.name,) if written else ()
    sent, received = chip.wire.sent - before[0], chip.wire.received - before[1]
    return WriteResult(written, len(region.data), touched, sent, received, time.monotonic() - began)


def files(chip: Chip, table: Sequence[Partition], wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Files of the chip's vfs, reading no more of it than they take. Raises BadInput where there is no LittleFS."""
    vfs = partitions.vfs(table, chip.flash_size)
    return filesystem.read_from(lambda offset, size: chip.read(vfs.offset + offset, size), vfs.size, wanted)


def erased_md5(size: int) -> str:
    """What ``Chip.md5`` says of ``size`` erased bytes."""
    return hashlib.md5(ERASED * size, usedforsecurity=False).hexdigest()


def _same(chip: Chip, offset: int, data: bytes) -> bool:
    return chip.md5(offset, len(data)) == hashlib.md5(data, usedforsecurity=False).hexdigest()


def _runs(region: Region, sectors: Sequence[int]) -> list[tuple[int, bytes]]:
    """Neighbouring sectors as one write each; erased stretches apart, since they need not be sent."""
    runs: list[tuple[int, bytes]] = []
    for at in sectors:
        data = region.data[at - region.offset :][:SECTOR]
        if runs and runs[-1][0] + len(runs[-1][1]) == at and _empty(runs[-1][1][-SECTOR:]) == _empty(data):
            runs[-1] = (runs[-1][0], runs[-1][1] + data)
        else:
            runs.append((at, data))
    return runs


def _empty(data: bytes) -> bool:
    return data.count(ERASED) == len(data)
