"""Compiled MicroPython files (.mpy): which chip can load one. The header is that of MicroPython's ``py/persistentcode.h``.

Bytecode runs on every chip. Machine code, which ``@micropython.native`` and ``@micropython.viper`` ask for, is for one
architecture and one version of the interface to MicroPython.
"""

from collections.abc import Mapping

from rootlet.board import inspect_image
from rootlet.errors import BadInput

ARCHITECTURES = (
    *("bytecode", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp"),
    *("xtensa", "xtensawin", "rv32imc", "rv64imc"),
)
"""As ``mpy-cross -march`` names them, by their number in the header."""

OF_CHIP = dict.fromkeys(("esp32", "esp32s2", "esp32s3"), "xtensawin") | dict.fromkeys(("esp32c3", "esp32c6"), "rv32imc")
"""The architecture of each chip, by esptool's names."""

NATIVE_SINCE = {"xtensawin": (1, 12), "rv32imc": (1, 24)}
"""The first release of MicroPython's ESP32 port that loads such machine code (``ports/esp32/mpconfigport.h``)."""

_VERSION, _SUB_VERSION = 6, 3  # since 1.23, the oldest release that leaf runs on
_SMALL_INT_BITS = 31
_HEADER_SIZE = 4


def architecture(data: bytes) -> str | None:
    """What machine code is in a .mpy; None for one of bytecode alone, and for what is not a .mpy."""
    if len(data) < _HEADER_SIZE or not data.startswith(b"M"):
        return None
    number = data[2] >> 2 & 0xF
    return (ARCHITECTURES[number] if number < len(ARCHITECTURES) else f"architecture {number}") if number else None


def native(files: Mapping[str, bytes]) -> dict[str, str]:
    """The architecture of each of these files (path to content) that holds machine code."""
    return {name: found for name, data in files.items() if name.endswith(".mpy") and (found := architecture(data))}


def check(name: str, data: bytes, wanted: str | None) -> None:
    """Raise BadInput where a .mpy that somebody else compiled cannot be loaded by a board of architecture ``wanted``.

    Its machine code is not checked where ``wanted`` is None.
    """
    hint = "compile it again (mpy-cross 1.23 or later), or give its source"
    if len(data) < _HEADER_SIZE or not data.startswith(b"M"):
        raise BadInput(f"{name} is not a compiled MicroPython file", hint=hint)
    if data[1] != _VERSION:
        raise BadInput(f"{name} is of .mpy version {data[1]}; the board loads version {_VERSION}", hint=hint)
    if data[3] > _SMALL_INT_BITS:
        raise BadInput(
            f"{name} is compiled for small integers of {data[3]} bits; the chip has {_SMALL_INT_BITS}",
            hint=f"mpy-cross -msmall-int-bits={_SMALL_INT_BITS}",
        )
    found = architecture(data)
    if found is None:
        return
    if data[2] & 3 != _SUB_VERSION:
        raise BadInput(
            f"{name} has machine code for .mpy version {data[1]}.{data[2] & 3}; the board loads {_VERSION}.{_SUB_VERSION}",
            hint=hint,
        )
    if wanted is not None and found != wanted:
        raise BadInput(f"{name} has machine code for {found}; the board is {wanted}", hint=f"mpy-cross -march={wanted}")


def check_release(files: Mapping[str, bytes], release: str | None, version: tuple[int, ...] | None) -> None:
    """Raise BadInput where there is machine code that this MicroPython cannot load; one of unknown version passes."""
    for name, found in native(files).items():
        if version is not None and version[:2] < NATIVE_SINCE.get(found, (0, 0)):
            since = ".".join(map(str, NATIVE_SINCE[found]))
            raise BadInput(
                f"{name.lstrip('/')} has machine code for {found}, which MicroPython {release} cannot load",
                hint=f"give MicroPython {since} or later, or leave out @micropython.native and @micropython.viper",
            )


def check_virtual_board(flash: bytes, name: str) -> None:
    """Raise BadInput where an image holds machine code, which the virtual board cannot run: it is x86-64."""
    contents = inspect_image.inspect(flash)
    found = native({**(contents.romfs or {}), **contents.files})
    if found:
        names = ", ".join(file.lstrip("/") for file in sorted(found))
        machines = ", ".join(sorted(set(found.values())))
        raise BadInput(
            f"{name} holds machine code for {machines} ({names}): the virtual board cannot run it",
            hint="boot it on a board or with --chip; for the virtual board leave out @micropython.native and .viper",
        )
