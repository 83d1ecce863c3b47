"""QEMU with ESP32 machines and their Wi-Fi: the fork that PICSimLab uses.

Espressif's own fork and the upstream releases are told apart by their machines: the first has ESP32s without Wi-Fi
(an Ethernet controller that no board has stands in for it), the second have none.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from rootlet.emulator.chip_emulator import ChipEmulator, Wiring
from rootlet.errors import BadInput, RootletError

INSTALL = (
    "install QEMU with ESP32 machines and Wi-Fi (github.com/lcgamboa/qemu, see docs/chip-emulator.md), "
    "and name it with --qemu or ROOTLET_QEMU"
)
_ANSWER = 20  # seconds in which a program says which machines it has


@dataclass(frozen=True)
class _Machine:
    program: str
    machine: str
    without_wifi: str
    card: str
    efuse: str
    """The driver of its eFuses."""


_MACHINES = {
    "esp32": _Machine("qemu-system-xtensa", "esp32-picsimlab", "esp32", "esp32_wifi", "nvram.esp32.efuse"),
    "esp32c3": _Machine("qemu-system-riscv32", "esp32c3-picsimlab", "esp32c3", "esp32c3_wifi", "nvram.esp32c3.efuse"),
}


@dataclass(frozen=True)
class Qemu(ChipEmulator):
    """An executable, and the chip that it emulates."""

    network: ClassVar[str] = "Espressif"
    flash_sizes: ClassVar[tuple[int, ...]] = tuple(mebibytes << 20 for mebibytes in (2, 4, 8, 16))

    program: Path
    chip: str

    @classmethod
    def find(cls, chip: str, where: Path | None) -> Self:
        """Return the emulator of ``chip``: ``where`` is an executable or the directory of several; None: on PATH.

        Raises RootletError where there is none, or the one there has no such chip with Wi-Fi.
        """
        known = _MACHINES.get(chip)
        if known is None:
            chips = " and ".join(_MACHINES)
            raise BadInput(f"no chip emulator with Wi-Fi emulates {chip}; {chips} are emulated", hint="leave out --chip")
        program = _program(known.program, where)
        names = machines(program)
        if known.machine in names:
            return cls(program, chip)
        if known.without_wifi in names:
            raise RootletError(f"{program} emulates {chip} without Wi-Fi, as Espressif's QEMU does", hint=INSTALL)
        raise RootletError(f"{program} does not emulate {chip}", hint=INSTALL)

    def command(self, wiring: Wiring) -> list[str]:
        """The command line that boots the flash file; writes the eFuses into ``wiring.scratch``."""
        known = _MACHINES[self.chip]
        efuses = wiring.scratch / "efuses.bin"
        efuses.write_bytes(efuse_content(self.chip, wiring.mac))
        # fmt: off
        return [
            str(self.program), "-machine", known.machine, "-display", "none", "-monitor", "none",
            # The chip's time counts instructions, 8 ns each: on a busy machine it slows down, and nothing times out.
            "-icount", "shift=3,align=off,sleep=on",
            "-drive", f"file={_escaped(wiring.flash)},if=mtd,format=raw",
            "-drive", f"file={_escaped(efuses)},if=none,format=raw,id=efuse",
            "-global", f"driver={known.efuse},property=drive,value=efuse",
            "-chardev", f"socket,id=console,path={_escaped(wiring.console)}", "-serial", "chardev:console",
            "-netdev", f"dgram,id=chip,local.type=fd,local.str={wiring.chip}",
            "-net", f"nic,model={known.card},netdev=chip",
            # The user-mode network is on a hub of its own: between it and the chip stands the gateway.
            "-netdev", "user,id=outside,ipv6=off",
            "-netdev", f"dgram,id=uplink,local.type=fd,local.str={wiring.uplink}",
            "-netdev", "hubport,id=hub-outside,hubid=1,netdev=outside",
            "-netdev", "hubport,id=hub-uplink,hubid=1,netdev=uplink",
        ]
        # fmt: on


def machines(program: Path) -> set[str]:
    """The machines that a QEMU names; empty for a program that is not one. Raises RootletError if it cannot be run."""
    try:
        done = subprocess.run(
            [str(program), "-machine", "help"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror if isinstance(error, OSError) else f"no answer in {_ANSWER} s"
        raise RootletError(f"{program} cannot be asked for its machines: {why}", hint=INSTALL) from None
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return {line.split()[0] for line in lines if line.strip() and not line.startswith("Supported")}


def _program(name: str, where: Path | None) -> Path:
    if where is None:
        found = shutil.which(name)
        if found is None:
            raise RootletError(f"no chip emulator is installed: {name} is not on PATH", hint=INSTALL)
        return Path(found)
    program = where / name if where.is_dir() else where
    if not program.exists():
        raise BadInput(f"{program} does not exist", hint=INSTALL)
    return program.resolve()


def _escaped(path: Path) -> str:
    return str(path).replace(",", ",,")


def efuse_content(chip: str, mac: str) -> bytes:
    """The eFuses of a chip of which nothing is burned but its MAC address (ESP32-C3: and its revision, 0.3)."""
    address = bytes.fromhex(mac.replace(":", ""))
    if chip == "esp32":
        # Block 0: the address from its last byte to its first, then its CRC-8. ESP32 Technical Reference Manual, 20.
        content = bytearray(124)
        content[4:11] = address[::-1] + bytes([_crc8(address)])
    else:
        content = bytearray(336)
        content[0x18:0x1E] = address[::-1]
        content[0x24:0x28] = (3 << 18).to_bytes(4, "little")  # the minor revision
    return bytes(content)


def _crc8(data: bytes) -> int:
    """As Maxim's 1-Wire has it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
