"""New firmware on a board in the field: same identity, same state.

Before anything is written, the state is copied to a file on the host, readable by its owner alone; it is removed when
the board holds it again. So a repair that was interrupted, even in the middle of the file system, is completed by the
next run.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rootlet.board import filesystem, firmware, flasher, inspect_board, inspect_image, partitions
from rootlet.board.chip import Chip, Progress
from rootlet.board.flasher import Region, WriteResult
from rootlet.errors import BadInput, RootletError
from rootlet.files import make_private_directory, write_secret
from rootlet.pki.identity import DeviceIdentity


@dataclass(frozen=True)
class Repaired:
    """What was done: ``kept`` are the names of the state's files, ``resumed`` says that they came from a saved copy.

    ``state_problem`` says why the board's file system could not be read; then nothing of its own is kept.
    """

    identity: DeviceIdentity
    kept: tuple[str, ...]
    resumed: bool
    outcome: WriteResult
    state_problem: str | None = None


def backup_directory() -> Path:
    """Where the state of boards under repair lies."""
    return platformdirs.user_state_path("rootlet") / "repairs"


def repair(
    chip: Chip, golden: bytes, progress: Progress | None = None, *, backups: Path | None = None, forget: bool = False
) -> Repaired:
    """Give the board the image's firmware.

    Where an earlier repair of this board was interrupted, the state is the one saved then, unless ``forget`` is set.
    Raises BadInput where the board has no identity to keep, or where the new layout would move it.
    """
    flasher.check_fit(chip, golden)
    table = partitions.decode(golden[inspect_image.TABLE : inspect_image.TABLE + partitions.TABLE_SIZE])
    backup = (backups or backup_directory()) / f"{chip.mac.replace(':', '')}.zip"
    on_board = _layout(chip, table)
    identity = _identity(chip, on_board, table)
    resumed = backup.exists() and not forget
    state, problem = (_load(backup), None) if resumed else _state(chip, on_board)
    if not resumed:
        make_private_directory(backup.parent)
        write_secret(backup, _pack(state))
    outcome = flasher.burn(chip, _wanted(golden, state), progress)
    flasher.check_identity(chip, identity, table)
    backup.unlink()
    return Repaired(identity, tuple(sorted(state)), resumed, outcome, problem)


def _layout(chip: Chip, table: tuple[partitions.Partition, ...]) -> tuple[partitions.Partition, ...]:
    """The board's partition table; the image's ``table`` where the board has none, as after an interrupted run."""
    try:
        on_board = flasher.read_table(chip)
        partitions.find(on_board, partitions.SECURE_CERT)
    except BadInput:
        return table
    return on_board


def _identity(
    chip: Chip, on_board: tuple[partitions.Partition, ...], table: tuple[partitions.Partition, ...]
) -> DeviceIdentity:
    place = partitions.find(table, partitions.SECURE_CERT)
    kept = partitions.find(on_board, partitions.SECURE_CERT)
    if (kept.offset, kept.size) != (place.offset, place.size):
        raise BadInput(
            f"this image has the credentials at 0x{place.offset:x}, the board has them at 0x{kept.offset:x}",
            hint="repair with an image of the same layout, or flash the board anew with its identity",
        )
    found = flasher.read_identity(chip, on_board)
    if found is None:
        raise BadInput("the board has no identity to keep", hint="flash it: rootlet flash IMAGE --thing NAME")
    return found


def _state(chip: Chip, table: tuple[partitions.Partition, ...]) -> tuple[dict[str, bytes], str | None]:
    """The device's own files, or why the file system, which a repair makes anew, could not be read."""
    try:
        came_with = inspect_board.manifest(flasher.files(chip, table, lambda name: name == firmware.MANIFEST))
        return flasher.files(chip, table, lambda name: inspect_board.is_state(name, came_with)), None
    except BadInput as error:
        return {}, error.what


def _wanted(golden: bytes, state: dict[str, bytes]) -> list[Region]:
    """The image's regions but for those that the device owns; vfs with the state in it."""
    regions = []
    for region in flasher.regions(golden):
        if region.name in (*inspect_board.DEVICE_OWNED[:2], partitions.SECURE_CERT):
            continue
        if region.name == "vfs" and state:
            files = dict(inspect_image.inspect(golden).files)
            data = filesystem.build({**state, **files}, len(region.data))
            region = Region(region.name, region.offset, data)
        regions.append(region)
    return regions


def _pack(state: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in state.items():
            archive.writestr(name.lstrip("/"), data)
    return packed.getvalue()


def _load(backup: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(backup) as archive:
            return {f"/{name}": archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise RootletError(f"{backup}, the board's saved state, cannot be read: {error}", hint="restore it") from error
