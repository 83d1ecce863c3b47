"""MicroPython's .bin for the ESP32: what one holds, and whether it can carry ``leaf`` on a board.

The file is what lies in flash from the bootloader's offset on: bootloader, partition table, application. Bootloader and
application are Espressif's image format, which esptool reads; the version is in MicroPython's own banner, since its
builds leave the version out of the application descriptor (CONFIG_APP_EXCLUDE_PROJECT_VER_VAR).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from esptool.bin_image import ESP32FirmwareImage, LoadFirmwareImage
from esptool.targets import CHIP_DEFS
from esptool.util import FatalError

from rootlet.board import partitions
from rootlet.board.definition import CHIPS, Board
from rootlet.board.partitions import TYPES, Partition
from rootlet.errors import BadInput

OLDEST = (1, 23)
"""The first release with the modules ``tls`` and ``vfs`` that ``leaf`` imports."""

TABLE_OFFSET = 0x8000
BOOTLOADER_OFFSETS = (0x0, 0x1000)  # all later chips; ESP32 and ESP32-S2
_MAGIC = 0xE9
# Names of the module `vfs`, which a build has as NUL-terminated strings where it was built with MICROPY_VFS_ROM and
# MICROPY_VFS_ROM_IOCTL (extmod/modvfs.c; ports/esp32 from 1.25 on). "/rom" alone proves nothing: the frozen mip has it.
ROMFS_NAMES = (b"VfsRom\0", b"rom_ioctl\0")
_FROZEN_LEAF = b"leaf/device.py\0"  # in the list of frozen modules (py/frozenmod.c, tools/mpy-tool.py)
_FROZEN_SOURCE = re.compile(rb"leaf-source-([0-9a-f]{64})\0")  # firmware/manifest.py
_CHIP_ID = slice(12, 14)  # of the image header
_FLASH_SETTINGS = 3  # of the image header: the upper four bits are the size of flash, 1 MiB times a power of two
_BANNER = re.compile(rb"(v(\d+)\.(\d+)(?:\.(\d+))?[-\w.]*) on (\d{4}-\d\d-\d\d)(?:; ([ -~]{1,64}))?")
# From 1.17 to 1.27 at least the prompt prints banner and machine one after the other (shared/runtime/pyexec.c).
_MACHINE = re.compile(rb"\0; ([ -~]{1,100} with ESP32[-A-Z0-9]*)\0")
# sys.implementation._build, BOARD or BOARD-VARIANT, from 1.25 on (py/modsys.c): before sys.version, else by its usual name.
_BUILD = (
    re.compile(rb"\0([A-Za-z]\w*(?:-\w+)?)\0{1,4}\d\.\d\.\d; MicroPython v"),
    re.compile(rb"\0(ESP32_GENERIC[A-Z0-9_]*(?:-[A-Z0-9_]+)?)\0"),
)
# Before that the variant shows in the machine's name only (boards/ESP32_GENERIC*/mpconfigvariant_*.cmake).
_GENERIC_MACHINE = re.compile(r"(?:Generic )?(ESP32\w*) module with (?:(OTA|SPIRAM|Octal-SPIRAM) with )?ESP32\w*(?:-(\w+))?")
_VARIANTS = {"Octal-SPIRAM": "SPIRAM_OCT"}
_PSRAM = (b"PSRAM memory to heap allocator", b"esp_psram\0")  # ESP-IDF's component esp_psram
# Variants of a build that run wherever the plain one does: they add a partition, or are for less flash.
_ADDING = ("ROMFS", "FLASH_4M")


@dataclass(frozen=True)
class Executable:
    """A bootloader or an application. ``size`` is in bytes, the checksum and the appended SHA-256 included."""

    chip: str
    size: int
    problem: str | None


@dataclass(frozen=True)
class MicroPython:
    """What a .bin was found to hold. ``offset`` is where it goes in flash; ``problems`` says what is damaged."""

    chip: str
    offset: int
    text: str | None
    version: tuple[int, int, int] | None
    machine: str | None
    partitions: tuple[Partition, ...]
    bootloader: Executable
    application: Executable
    problems: tuple[str, ...]
    romfs: bool
    """Whether it maps a partition ``romfs`` into memory and runs code there."""
    leaf_frozen: bool
    build: str | None
    """MicroPython's name for the build, BOARD or BOARD-VARIANT; None where the binary does not say."""
    psram: bool
    """Whether it can use PSRAM."""
    flash_size: int
    """The size of flash, in bytes, that its bootloader is set to. It runs on that size, or on more."""
    leaf_source: str | None
    """The digest of the sources of the frozen ``leaf``; None where it is not frozen, or not by firmware/manifest.py."""

    @property
    def application_partition(self) -> Partition:
        return _first_application(self.partitions)


def find(flash: bytes) -> int | None:
    """Where the bootloader lies in a dump of a whole flash; None where there is none."""
    for offset in BOOTLOADER_OFFSETS:
        if len(flash) > offset and flash[offset] == _MAGIC:
            return offset
    return None


def read(firmware: bytes) -> MicroPython:
    """Look into a .bin, or into a flash dump cut off before its bootloader.

    Raises BadInput for anything that is not a MicroPython build for an ESP32; damage is listed in ``problems``.
    """
    if len(firmware) < TABLE_OFFSET or firmware[0] != _MAGIC:
        raise BadInput(
            "this is not a MicroPython build for an ESP32: it does not begin with a bootloader",
            hint="give the .bin from the board's download page, not an .elf, .uf2 or .app-bin",
        )
    chip = _chip(firmware)
    # A .bin begins at the bootloader, so the table tells how far into the flash that is.
    offset = next((at for at in BOOTLOADER_OFFSETS if _is_table(firmware, at)), None)
    if offset is None:
        raise BadInput("no partition table where one should be", hint="the file is damaged: download it again")
    table = partitions.decode(firmware[TABLE_OFFSET - offset :][: partitions.TABLE_SIZE])
    bootloader = examine(firmware[: TABLE_OFFSET - offset], chip)
    home = _first_application(table)
    content = firmware[home.offset - offset :][: home.size]
    application = examine(content, chip)
    text, version, machine = _banner(content)
    parts = {"bootloader": bootloader, "application": application}
    problems = tuple(f"{what}: {part.problem}" for what, part in parts.items() if part.problem)
    source = _FROZEN_SOURCE.search(content)
    return MicroPython(
        chip,
        offset,
        text,
        version,
        machine,
        table,
        bootloader,
        application,
        problems,
        romfs=all(name in content for name in ROMFS_NAMES),
        leaf_frozen=_FROZEN_LEAF in content,
        build=_build(content, machine),
        psram=any(name in content for name in _PSRAM),
        flash_size=(1 << 20) << (firmware[_FLASH_SETTINGS] >> 4),
        leaf_source=source.group(1).decode() if source else None,
    )


def check(found: MicroPython, board: Board) -> None:
    """Raise BadInput, with a hint, where this firmware cannot carry ``leaf`` on ``board``."""
    build = board.micropython
    get = f"get {build.file}: rootlet micropython fetch {board.id}"
    if found.chip != board.chip or found.offset != board.micropython_offset:
        raise BadInput(f"this MicroPython is for {found.chip}; {board.id} has {board.chip}", hint=get)
    if found.problems:
        raise BadInput(f"this MicroPython is damaged: {'; '.join(found.problems)}", hint="download it again")
    if found.version is None:
        raise BadInput("this file is not MicroPython: it has no version banner", hint=get)
    if found.version[:2] < OLDEST:
        raise BadInput(
            f"this is MicroPython {found.text}; leaf needs {'.'.join(map(str, OLDEST))} or later (tls, vfs)", hint=get
        )
    _check_variant(found, board, get)
    if found.flash_size > board.flash_size:
        raise BadInput(
            f"the bootloader of this MicroPython is set to {found.flash_size >> 20} MiB of flash, and would not start on "
            f"the board's {board.flash_size >> 20} MiB",
            hint="give the size that the module has (--flash-size), or a build for less flash",
        )
    home = found.application_partition
    if found.application.size > home.size:
        raise BadInput(
            f"the application takes {found.application.size} bytes, its partition {home.label} has {home.size}", hint=get
        )


def check_table(found: MicroPython, table: Sequence[Partition]) -> None:
    """Raise BadInput where this bootloader would refuse a table: it ends behind the flash that it is set to."""
    last = max(table, key=lambda partition: partition.end)
    if last.end > found.flash_size:
        raise BadInput(
            f"partition {last.label} ends at 0x{last.end:x}, behind the {found.flash_size >> 20} MiB of flash that the "
            "bootloader of this MicroPython is set to",
            hint="give a build for more flash (CONFIG_ESPTOOLPY_FLASHSIZE), or leave the code in vfs: --romfs no",
        )


def _check_variant(found: MicroPython, board: Board, get: str) -> None:
    """Raise BadInput for another variant of the board's build; one of another name must have what the board needs."""
    wanted = board.micropython.build
    base, _, variant = (found.build or "").partition("-")
    adds_only = "-" not in wanted and variant in _ADDING
    if base == wanted.partition("-")[0] and found.build != wanted and not adds_only:
        raise BadInput(f"this MicroPython is the build {found.build}; {board.id} takes {wanted}", hint=get)
    slots = sum(partition.type == TYPES["app"] for partition in found.partitions)
    if slots < sum(partition.type == TYPES["app"] for partition in board.partitions):
        raise BadInput(
            f"this MicroPython has {slots} partition for an application; {board.id} takes {wanted}, with two",
            hint=get,
        )
    if "SPIRAM" in wanted and not found.psram:
        raise BadInput(f"this MicroPython cannot use PSRAM; {board.id} takes {wanted}", hint=get)


def examine(data: bytes, chip: str) -> Executable:
    """Check one image as the ROM would: segments, checksum, appended SHA-256."""
    if not data or data[0] != _MAGIC:
        return Executable(chip, 0, "missing")
    own = _chip(data)
    if own != chip:
        return Executable(own, 0, f"is for {own}, not {chip}")
    try:
        image: ESP32FirmwareImage = LoadFirmwareImage(chip, data)
    except FatalError as error:
        return Executable(chip, 0, f"truncated or corrupt ({error})")
    size = image.data_length or 0
    if image.checksum != image.calculate_checksum():
        return Executable(chip, size, "its checksum does not match")
    if image.append_digest:
        size += len(image.calc_digest)
        if image.stored_digest != image.calc_digest:
            return Executable(chip, size, "its SHA-256 does not match: truncated or corrupt")
    return Executable(chip, size, None)


def _chip(image: bytes) -> str:
    number = int.from_bytes(image[_CHIP_ID], "little")
    for name, definition in CHIP_DEFS.items():
        if name != "esp8266" and number == definition.IMAGE_CHIP_ID:
            if name not in CHIPS:
                raise BadInput(f"this firmware is for {name}", hint=f"Rootlet knows {', '.join(CHIPS)}")
            return str(name)
    raise BadInput(f"this firmware is for an unknown chip (id {number})", hint=f"Rootlet knows {', '.join(CHIPS)}")


def _is_table(firmware: bytes, offset: int) -> bool:
    return firmware[TABLE_OFFSET - offset :].startswith(partitions.ENTRY_MAGIC)


def _first_application(table: tuple[Partition, ...]) -> Partition:
    for partition in table:
        if partition.type == TYPES["app"]:
            return partition
    raise BadInput("the partition table has no application", hint="the file is damaged: download it again")


def _banner(application: bytes) -> tuple[str | None, tuple[int, int, int] | None, str | None]:
    matches = list(_BANNER.finditer(application))
    if not matches:
        return None, None, None
    match = max(matches, key=lambda found: len(found.group()))
    major, minor, patch = (int(match.group(n) or 0) for n in (2, 3, 4))
    if match.group(6) is not None:
        machine = match.group(6).decode()
    else:
        named = _MACHINE.search(application)
        machine = named.group(1).decode() if named else None
    return f"{match.group(1).decode()} on {match.group(5).decode()}", (major, minor, patch), machine


def _build(application: bytes, machine: str | None) -> str | None:
    for pattern in _BUILD:
        if found := pattern.search(application):
            return found.group(1).decode()
    if generic := _GENERIC_MACHINE.fullmatch(machine or ""):
        chip, feature, core = generic.groups()
        board = "ESP32_GENERIC" + chip.removeprefix("ESP32").replace("S", "_S").replace("C", "_C")
        variant = _VARIANTS.get(feature, feature) or core
        return f"{board}-{variant}" if variant else board
    return None
