"""A chip in download mode: a mock of Espressif's ROM bootloader around a flash, for esptool to talk to.

It needs ``esp32-mock-bootloader``, a development dependency. What it cannot show: it has no NOR semantics (any byte can be
written over any other), no serial line, and its eFuses read zero.
"""

import contextlib
import hashlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from esp32_mock_bootloader import registers, server
from esptool.targets import CHIP_DEFS

ERASED = b"\xff"
SIZE = 4 << 20
"""What the mock's JEDEC id says: 4 MiB."""


@dataclass
class Faults:
    """What goes wrong, for tests. Offsets are in flash; ``None`` and ``False`` mean that nothing does."""

    flip_on_write: int | None = None
    """The byte at this offset is stored with one bit flipped, whenever it is written."""
    drop_after: int | None = None
    """The connection is lost after this many operations on the flash (a block written, a range read or hashed), once."""
    flip_on_read: int | None = None
    """The byte at this offset reads differently from how it was written, although its MD5 is right."""
    silent: bool = False
    """No answer to anything."""


class DownloadMode:
    """Listens on loopback on entering the context. ``flash`` is the chip's memory and outlives every connection.

    ``listen`` is a TCP port, any free one unless given.
    """

    def __init__(self, chip: str = "esp32", *, flash: bytes | None = None, mac: str | None = None, listen: int = 0) -> None:
        self.chip = chip
        self.faults = Faults()
        self.connections = 0
        self.encrypts = False
        """Whether the chip's eFuses say, from the next connection on, that flash encryption is on."""
        self.memory = _Flash(self.faults, flash if flash is not None else ERASED * SIZE)
        self._mac = registers.mac_bytes_for_chip(chip)
        if mac:
            self.become(mac)
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", listen))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def become(self, mac: str) -> None:
        """Another chip's MAC address, from the next connection on: a jig whose board was swapped."""
        self._mac = tuple(bytes.fromhex(mac.replace(":", "")))

    @property
    def port(self) -> str:
        """As esptool and pyserial name it."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def flash(self) -> bytes:
        return bytes(self.memory.data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unplug()

    def unplug(self) -> None:
        """The board is gone from its port; its flash stays readable here."""
        self._stop.set()
        with contextlib.suppress(OSError):
            # A listener that another thread waits on is not woken by close.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with client:
                if self.faults.silent:
                    self._ignore(client)
                else:
                    self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        # Small frames must not wait for one another, or the mock gives up on an acknowledgement.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _session.mac = self._mac
        _session.encrypts = self.encrypts
        with contextlib.suppress(_Dropped, OSError):
            server.handle_client(server.BootloaderConnection(sock=client), self._stop, self.chip, flash=self.memory)

    def _ignore(self, client: socket.socket) -> None:
        client.settimeout(0.2)
        while not self._stop.is_set():
            try:
                if not client.recv(4096):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


class _Dropped(Exception):  # noqa: N818 - reads as what it is
    """The connection is lost here."""


class _Flash(server.FlashImage):  # type: ignore[misc]
    def __init__(self, faults: Faults, content: bytes) -> None:
        super().__init__()
        self.data = bytearray(content)
        self._faults = faults

    def write_defl_block(self, payload: bytes) -> None:
        before = self._defl_offset
        super().write_defl_block(payload)
        self._after_write(before, self._defl_offset)

    def write_plain_block(self, payload: bytes) -> None:
        before = self._plain_offset
        super().write_plain_block(payload)
        self._after_write(before, self._plain_offset)

    def _after_write(self, start: int, end: int) -> None:
        flip = self._faults.flip_on_write
        if flip is not None and start <= flip < end:
            self.data[flip] ^= 0x10
        self._count()

    def _count(self) -> None:
        if self._faults.drop_after is None:
            return
        self._faults.drop_after -= 1
        if self._faults.drop_after < 0:
            self._faults.drop_after = None
            raise _Dropped

    def erase_region(self, offset: int, size: int) -> None:
        super().erase_region(offset, size)
        self._count()

    def read(self, offset: int, length: int) -> bytes:
        self._count()
        data = bytearray(super().read(offset, length))
        flip = self._faults.flip_on_read
        if flip is not None and offset <= flip < offset + length:
            data[flip - offset] ^= 0x10
        return bytes(data)

    def md5_stub_response(self, payload: bytes, *, stub: bool = False) -> bytes:
        # The one of the package copies the whole flash first.
        if not stub:
            return bytes(super().md5_stub_response(payload, stub=stub))
        self._count()
        address, size = struct.unpack_from("<II", payload)
        digest = hashlib.md5(memoryview(self.data)[address : address + size], usedforsecurity=False).digest()
        command = server.protocol.CMD_SPI_FLASH_MD5
        return bytes(server.slip_encode(struct.pack("<BBHI", 1, command, len(digest) + 2, 0) + digest + b"\0\0"))


class _Local(threading.local):
    mac: tuple[int, ...] | None = None
    encrypts = False


_session = _Local()
_PlainSession: Any = server.ChipSession


class _Session(_PlainSession):  # type: ignore[misc]
    """The mock gives every chip of a kind the same MAC address; a factory needs many."""

    def __init__(self, chip_mode: str) -> None:
        super().__init__(chip_mode)
        if _session.mac is not None:
            self.registers.update(registers._mac_registers(chip_mode, _session.mac))
        if _session.encrypts:
            rom = CHIP_DEFS[chip_mode]
            word = self.registers.get(rom.EFUSE_SPI_BOOT_CRYPT_CNT_REG, 0)
            self.registers[rom.EFUSE_SPI_BOOT_CRYPT_CNT_REG] = word | rom.EFUSE_SPI_BOOT_CRYPT_CNT_MASK


server.ChipSession = _Session
server._CLIENT_RECV_TIMEOUT = 1.0  # seconds; 50 ms give up too soon on a busy machine
