"""Looking at a board without changing it: who it is, what it runs, and whether it holds what an image says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rootlet.board import credentials, firmware, flasher, inspect_image, partitions, romfs
from rootlet.board.chip import Chip, Unreachable
from rootlet.errors import BadInput, RootletError
from rootlet.pki.identity import DeviceIdentity
from rootlet.words import are, number_of

DEVICE_OWNED = ("nvs", "phy_init", "otadata")
"""Partitions that the running chip writes: they differ from the image on a healthy board."""


@dataclass(frozen=True)
class Mismatch:
    """A part of the flash that is not what the image says."""

    where: str
    what: str


def info(chip: Chip) -> dict[str, Any]:
    """Which device is this? Facts to show; nothing on the board changes, not even its file system.

    What is missing or damaged is listed in ``problems``.
    """
    facts: dict[str, Any] = {"mac": chip.mac, "chip": chip.name, "flash_size": chip.flash_size, "problems": []}
    facts |= {"flash_encryption": chip.encrypts, "identity": None, "firmware": {}, "roots": [], "state": []}
    if chip.encrypts:
        facts["problems"].append("flash encryption is on: nothing but the chip itself can read what its flash holds")
        return facts
    table = None
    try:
        table = flasher.read_table(chip)
    except BadInput as error:
        facts["problems"].append(error.what)
    carried = credentials.look(chip)
    if carried and carried.certificate:
        facts["identity"] = inspect_image.describe(carried.certificate, carried.issuers)
    if carried is None or carried.problem:
        facts["problems"].append(carried.problem if carried else "no identity")
    if table is None:
        return facts
    try:
        names: list[str] = []
        found = flasher.files(chip, table, lambda name: _note(names, name) in ("/build.json", firmware.MANIFEST))
        facts["firmware"] = _json(found.get("/build.json"), {})
        facts["roots"] = [name.removeprefix("/roots/") for name in names if name.startswith("/roots/")]
        facts["state"] = sorted(name for name in names if is_state(name, manifest(found)))
    except BadInput as error:
        facts["problems"].append(f"vfs: {error.what}")
    return facts


def verify(chip: Chip, flash: bytes, identity: DeviceIdentity | None) -> list[Mismatch]:
    """Compare a board with an image; ``identity`` is the one that it must carry, where that is known.

    What the chip itself writes (nvs, its calibration, the state in ``vfs``) may differ. Empty where all is well.
    """
    table = partitions.decode(flash[inspect_image.TABLE : inspect_image.TABLE + partitions.TABLE_SIZE])
    found: list[Mismatch] = []
    for region in flasher.regions(flash):
        if region.name in (*DEVICE_OWNED, partitions.SECURE_CERT):
            continue
        sectors = flasher.differing(chip, region)
        if not sectors:
            continue
        if region.name == "vfs":
            found += _compare_files(chip, flash, table)
        elif region.name == partitions.ROMFS:
            found += _compare_romfs(chip, region)
        else:
            found.append(Mismatch(region.name, _differing(sectors)))
    try:
        if identity is not None:
            flasher.check_identity(chip, identity, table)
        elif flasher.read_identity(chip, table) is None:
            found.append(Mismatch("identity", "none"))
    except Unreachable:
        raise
    except RootletError as error:
        found.append(Mismatch("identity", error.what))
    return found


def _compare_files(chip: Chip, flash: bytes, table: tuple[partitions.Partition, ...]) -> list[Mismatch]:
    wanted = inspect_image.inspect(flash).files
    try:
        found = flasher.files(chip, table, wanted.__contains__)
    except BadInput as error:
        return [Mismatch("vfs", error.what)]
    return _mismatches("vfs", wanted, found)


def _compare_romfs(chip: Chip, region: flasher.Region) -> list[Mismatch]:
    try:
        wanted, found = romfs.read(region.data), romfs.read(chip.read(region.offset, len(region.data)))
    except BadInput as error:
        return [Mismatch(region.name, error.what)]
    return _mismatches(region.name, wanted, found) or [Mismatch(region.name, "differs outside its files")]


def _mismatches(where: str, wanted: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[Mismatch]:
    return [
        Mismatch(f"{where}:{name}", "missing" if name not in found else "differs")
        for name in sorted(wanted)
        if found.get(name) != wanted[name]
    ]


def manifest(files: Mapping[str, bytes]) -> frozenset[str]:
    """The names of the files that came with an image; empty where it does not say."""
    names = _json(files.get(firmware.MANIFEST), [])
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def is_state(name: str, came_with_image: frozenset[str]) -> bool:
    """Whether a file on a device is its own, and not the image's."""
    if name.startswith(firmware.STATE + "/"):
        return True
    if came_with_image:
        return name not in came_with_image
    return name.split("/")[1] not in firmware.OURS


def _note(names: list[str], name: str) -> str:
    names.append(name)
    return name


def _json(data: bytes | None, default: Any) -> Any:
    try:
        return json.loads(data) if data is not None else default
    except ValueError:
        return default


def _differing(sectors: list[int]) -> str:
    count = len(sectors)
    return f"{number_of(count, 'sector')} {are(count, 'differs', 'differ, the first')} at 0x{sectors[0]:x}"
