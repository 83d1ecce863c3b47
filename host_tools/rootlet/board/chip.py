"""A chip in download mode, by esptool's library: hash, read, write and erase its flash, and count the bytes on the wire."""

import contextlib
import socket
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import serial
from esptool.cmds import attach_flash, connect_esp, detect_flash_size, run_stub
from esptool.loader import ERASE_WRITE_TIMEOUT_PER_MB, ESPLoader, timeout_per_mb
from esptool.logger import log
from esptool.util import FatalError, flash_size_bytes
from serial.tools import list_ports

from rootlet.errors import BadInput, RootletError

SECTOR = 0x1000
"""The smallest piece that can be erased, in bytes."""

BAUD = 460_800
"""What every usual USB bridge carries; esptool itself begins at 115,200."""

NO_ANSWER = "check cable and port; hold BOOT, press EN, release BOOT; close any program that uses the port"

Progress = Callable[[int], None]
"""Told how many more bytes of flash are done."""


@dataclass
class Wire:
    """Bytes that crossed the port."""

    sent: int = 0
    received: int = 0


class Unreachable(RootletError):  # noqa: N818 - reads as what it is where it is raised
    """The chip did not answer, or the connection was lost: it says nothing of what its flash holds."""


class WrongBoard(BadInput):
    """The board is of another kind than the image: another chip, or another size of flash."""


class Locked(RootletError):  # noqa: N818 - reads as what it is
    """The chip is protected: its flash cannot be read, or plain bytes mean nothing to it."""


class Chip:
    """An open connection. Offsets and sizes are in bytes. Every failure is a RootletError that says what to do.

    Give ``chip`` (esptool's name) to refuse any other before anything is touched. A chip whose flash encryption is on is
    refused (Locked), or with ``even_encrypted`` opened for reading; ``encrypts`` then says that it is on.
    """

    def __init__(
        self, port: str, *, chip: str | None = None, baud: int = BAUD, attempts: int = 7, even_encrypted: bool = False
    ) -> None:
        log.set_verbosity("silent")
        self.port = port
        self.wire = Wire()
        self.encrypts = False
        self._baud = baud
        self._attempts = attempts
        self._even_encrypted = even_encrypted
        self._esp: ESPLoader | None = None
        self._connect(chip)

    def _connect(self, chip: str | None) -> None:
        with self._told():
            self._esp = connect_esp(port=self.port, before=reset_mode(self.port), connect_attempts=self._attempts)
        try:
            self._begin(chip)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Leave the port to another program, and connect again afterwards. Raises RootletError for another board then."""
        mac = self.mac
        self.close()
        yield
        self._connect(self.name)
        if self.mac != mac:
            raise RootletError(f"the board on {self.port} was exchanged: it was {mac}, it is {self.mac}", hint=NO_ANSWER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _begin(self, expected: str | None) -> None:
        esp = self._open
        _without_delay(esp)
        _count(esp, self.wire)
        self.name = esp.CHIP_NAME.lower().replace("-", "")
        if expected is not None and self.name != expected:
            raise WrongBoard(
                f"the chip on {self.port} is an {esp.CHIP_NAME}; the image is for {expected}",
                hint="choose the image of this board, or the port of the other",
            )
        with self._told():
            self._refuse_locked(esp)
            self.mac = ":".join(f"{byte:02x}" for byte in esp.read_mac("BASE_MAC"))
            self._esp = esp = run_stub(esp)
            if self._baud != esp.get_baud() and "://" not in self.port:
                esp.change_baud(self._baud)
            attach_flash(esp)
            size = detect_flash_size(esp)
            if size is None:
                raise RootletError(f"the flash of the chip on {self.port} is of unknown size", hint="check the module")
            self.flash_size = int(flash_size_bytes(size))
            esp.flash_set_parameters(self.flash_size)

    def _refuse_locked(self, esp: ESPLoader) -> None:
        if esp.secure_download_mode:
            raise Locked(
                "the chip is in Secure Download Mode: its flash can be neither read nor hashed",
                hint="update such a device over the air",
            )
        self.encrypts = bool(esp.get_flash_encryption_enabled())
        if self.encrypts and not self._even_encrypted:
            raise Locked(
                "the chip encrypts its flash: plain bytes would not run on it, and cannot be compared",
                hint="use the tools with which its encryption was set up; see rootlet secure plan",
            )

    def md5(self, offset: int, size: int) -> str:
        """MD5 of a range, hexadecimal: the chip reads its flash and computes it."""
        with self._told():
            return str(self._open.flash_md5sum(offset, size))

    def read(self, offset: int, size: int) -> bytes:
        with self._told():
            return bytes(self._open.read_flash(offset, size))

    def erase(self, offset: int, size: int) -> None:
        """Both must be multiples of SECTOR."""
        self._check_plain()
        with self._told():
            self._open.erase_region(offset, size)

    def erase_all(self) -> None:
        self._check_plain()
        with self._told():
            self._open.erase_flash()

    def write(self, offset: int, data: bytes, progress: Progress | None = None) -> None:
        """Erase and write a range that begins at a sector. The next ``md5`` returns when the flash holds it."""
        assert offset % SECTOR == 0
        self._check_plain()
        packed = zlib.compress(data, 9)
        unpacker = zlib.decompressobj()
        with self._told():
            esp = self._open
            timeout = timeout_per_mb(ERASE_WRITE_TIMEOUT_PER_MB, 0)
            esp.flash_defl_begin(len(data), len(packed), offset)
            for number, at in enumerate(range(0, len(packed), esp.FLASH_WRITE_SIZE)):
                block = packed[at : at + esp.FLASH_WRITE_SIZE]
                esp.flash_defl_block(block, number, timeout=timeout)
                written = len(unpacker.decompress(block))
                # The stub acknowledges a block, then writes it while the next one comes: that one waits for it.
                timeout = timeout_per_mb(ERASE_WRITE_TIMEOUT_PER_MB, written)
                if progress:
                    progress(written)

    def _check_plain(self) -> None:
        if self.encrypts:
            raise Locked("the chip encrypts its flash: it is not written to", hint="update such a device over the air")

    def restart(self) -> bool:
        """Leave download mode and boot. False where the port has no line to the chip's reset, as over TCP."""
        if self.port.startswith("socket://"):
            return False
        with self._told():
            self._open.hard_reset()
        return True

    def close(self) -> None:
        if self._esp is not None:
            with contextlib.suppress(OSError, serial.SerialException):
                self._esp._port.close()
            self._esp = None

    @property
    def _open(self) -> ESPLoader:
        assert self._esp is not None, "the connection is closed"
        return self._esp

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (FatalError, serial.SerialException, OSError, ValueError) as error:  # ValueError: of the port's settings
            what = "no answer from" if self._esp is None else "lost the connection to"
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            hint = NO_ANSWER if self._esp is None else "run the command again: what is written already is not sent again"
            raise Unreachable(f"{what} the chip on {self.port}: {reason}", hint=hint) from error


def find_port() -> str:
    """The one USB serial port of this machine. Raises BadInput where there is none or more than one."""
    found = sorted(port.device for port in list_ports.comports() if port.vid is not None)
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise BadInput("no USB serial port found", hint="plug the board in, or name its port: --port")
    raise BadInput(f"more than one serial port: {', '.join(found)}", hint="choose one: --port")


def reset_mode(port: str) -> str:
    """How esptool gets the chip on ``port`` into download mode."""
    # Over TCP there are no reset lines: whoever serves the port has put the chip into download mode.
    return "no-reset" if port.startswith("socket://") else "default-reset"


def _without_delay(esp: ESPLoader) -> None:
    # Commands are small and wait for their answer: Nagle's algorithm would add 40 ms to many.
    stream = getattr(esp._port, "_socket", None)
    if isinstance(stream, socket.socket):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _count(esp: ESPLoader, wire: Wire) -> None:
    port: Any = esp._port
    write, read = port.write, port.read

    def counted_write(data: bytes) -> Any:
        wire.sent += len(data)
        return write(data)

    def counted_read(size: int = 1) -> bytes:
        data: bytes = read(size)
        wire.received += len(data)
        return data

    port.write, port.read = counted_write, counted_read
