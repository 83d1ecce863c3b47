"""The developer's loop, over mpremote's library: changed files onto a running board, and a soft reset."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial import SerialException

from rootlet.board import console, firmware, mpy, romfs
from rootlet.errors import RootletError

CHUNK = 512  # bytes a write; the board holds it twice while it stores it
TRIES = 3  # a UART under load loses a character now and then, and a board that is still booting hears none
PROMPT, ANSWER, STORE = 3, 2, 10  # seconds in which it shows its prompt, answers Ctrl-D, and has written to its flash
ASIDE = "/.push"

_HASHES = """
import hashlib, binascii, json
def _digest(name):
    try:
        f = open(name, "rb")
    except OSError:
        return None
    h, b = hashlib.sha256(), bytearray(256)
    m = memoryview(b)
    while True:
        n = f.readinto(b)
        if not n:
            break
        h.update(m[:n])
    f.close()
    return binascii.hexlify(h.digest()).decode()
print(json.dumps([_digest(n) for n in {names}]))
"""
# A directory that is left empty goes too: as a package without code it would hide the one in /rom.
_REMOVE = """
import os
for n in {names}:
    try:
        os.remove(n)
        while n.rfind("/") > 0:
            n = n[:n.rfind("/")]
            os.rmdir(n)
    except OSError:
        pass
"""
_FROZEN = """
import json
try:
    with open("/build.json") as stream:
        print(json.load(stream).get("leaf_frozen"))
except OSError:
    print(False)
"""


@dataclass(frozen=True)
class Pushed:
    """Names of the files that were sent and removed; ``sent_bytes`` counts their content."""

    sent: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int
    sent_bytes: int


class Repl:
    """A board whose application was stopped and that listens at its raw REPL. The board's watchdog, if armed, goes on."""

    def __init__(self, port: str, baud: int = 115_200) -> None:
        self.port = port
        with self._told():
            self._transport = SerialTransport(port, baudrate=baud, timeout=PROMPT)
            self._heard = b""
            self._stop_application()
            self._transport.serial.timeout = STORE

    def __enter__(self) -> "Repl":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def push(self, files: Mapping[str, bytes], on_file: Callable[[str], None] | None = None) -> Pushed:
        """Make the board hold ``files`` (absolute path to content), sending those whose SHA-256 differs.

        A file takes its name only when it is complete. What an earlier image or push brought and ``files`` lacks is
        removed, if it is the application's; roots, configuration and the device's state stay. Code that is the same in the
        board's ROMFS runs from there: it is not sent, and an earlier push's copy is removed. A frozen ``leaf`` likewise.
        """
        manifest = self._manifest()
        in_rom = self._in_rom(files)
        gone = {name for name in manifest - files.keys() if firmware.top_level(name) not in firmware.OURS}
        if self._has_frozen_leaf():
            files = firmware.without_leaf(files)
            gone |= {name for name in manifest if firmware.top_level(name) == "leaf"}
        here = self._digests(in_rom)
        removed = sorted(gone | {name for name in in_rom if here[name] is not None})
        wanted = {name: data for name, data in files.items() if name not in in_rom}
        wanted[firmware.MANIFEST] = _json(sorted(manifest.union(wanted, [firmware.MANIFEST]).difference(removed)))
        changed = self._differing(wanted)
        with self._told():
            if removed:  # first: cut short, the manifest still names them
                self._transport.exec(_REMOVE.format(names=removed))
            for name in changed:
                if on_file:
                    on_file(name)
                self._write(name, wanted[name])
        sent = tuple(name for name in changed if name != firmware.MANIFEST)
        return Pushed(sent, tuple(removed), len(files) - len(sent), sum(len(wanted[name]) for name in changed))

    def restart(self) -> None:
        """A soft reset: boot.py and main.py run again. Asked for at the prompt, and again until the board answers."""
        with self._told():
            self._transport.exit_raw_repl()
            for _ in range(TRIES):
                self._transport.read_until(1, b">>> ", timeout_overall=PROMPT)
                self._transport.serial.write(b"\x04")
                if self._answered():
                    return
                self._transport.serial.write(b"\r")
            raise TransportError("it does not answer a soft reset")

    def lines(self, ended: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """The board's log from now on, until its port is gone or ``ended`` says so."""
        heard, self._heard = self._heard, b""
        return console.split(self._transport.serial, heard, ended)

    def architecture(self) -> str:
        """What machine code the board can load, as ``mpy-cross -march`` names it; "bytecode" where it loads none."""
        number = int(self.execute("import sys; print(getattr(sys.implementation, '_mpy', 0) >> 10 & 0xF)"))
        return mpy.ARCHITECTURES[number] if number < len(mpy.ARCHITECTURES) else mpy.ARCHITECTURES[0]

    def fitting(self, application: Path, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """``files``, compiled from ``application``, with machine code for this board where there is any. Raises BadInput."""
        return firmware.code(application, self.architecture()) if mpy.native(files) else files

    def execute(self, code: str) -> bytes:
        """Run code on the board and return what it printed. Raises RootletError for an exception there."""
        with self._told():
            printed: bytes = self._transport.exec(code)
        return printed

    def write(self, name: str, data: bytes) -> None:
        """Make a file (absolute path) on the board hold ``data``. It takes its name only when it is complete."""
        with self._told():
            self._write(name, data)

    def _stop_application(self) -> None:
        for left in reversed(range(TRIES)):
            try:
                with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it read instead
                    self._transport.enter_raw_repl(soft_reset=False, timeout_overall=PROMPT)
                return
            except TransportError:
                if not left:
                    raise

    def _answered(self) -> bool:
        port = self._transport.serial
        port.timeout = ANSWER
        self._heard = port.read(1)
        port.timeout = STORE
        return bool(self._heard)

    def _manifest(self) -> set[str]:
        with self._told():
            if not self._transport.fs_exists(firmware.MANIFEST):
                return set()
            names = json.loads(self._transport.fs_readfile(firmware.MANIFEST))
        return {name for name in names if isinstance(name, str) and name.startswith("/")}

    def _in_rom(self, files: Mapping[str, bytes]) -> set[str]:
        # An import takes a package from one place only. So a package runs from ROMFS if all of it is the same there.
        names = firmware.in_place(files)
        differing = self._differing({name: files[name] for name in names}, romfs.MOUNT)
        packages = {firmware.top_level(name) for name in differing}
        return {name for name in names if firmware.top_level(name) not in packages}

    def _has_frozen_leaf(self) -> bool:
        return self.execute(_FROZEN).strip() == b"True"

    def _differing(self, files: Mapping[str, bytes], directory: str = "") -> list[str]:
        known = self._digests(files, directory)
        return [name for name in sorted(files) if known[name] != hashlib.sha256(files[name]).hexdigest()]

    def _digests(self, names: Iterable[str], directory: str = "") -> dict[str, str | None]:
        # None for a file that is not there.
        wanted = sorted(names)
        with self._told():
            digests = json.loads(self._transport.exec(_HASHES.format(names=[directory + name for name in wanted])))
        return dict(zip(wanted, digests, strict=True))

    def _write(self, name: str, data: bytes) -> None:
        parent = PurePosixPath(name).parent
        for directory in reversed([parent, *parent.parents]):
            if str(directory) != "/" and not self._transport.fs_exists(str(directory)):
                self._transport.fs_mkdir(str(directory))
        self._transport.fs_writefile(ASIDE, data, chunk_size=CHUNK)
        self._transport.exec(f"import os; os.rename({ASIDE!r}, {name!r})")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TransportExecError as error:
            last = error.error_output.strip().splitlines()[-1:] or ["no reason given"]
            what = f"the board on {self.port} refused: {last[0]}"
            raise RootletError(what, hint="free space on it, or flash it") from None
        except (TransportError, SerialException, OSError, ValueError) as error:
            raise RootletError(
                f"no MicroPython prompt on {self.port}: {error}",
                hint="check the port; close any program that uses it; run the command again: it completes what was begun",
            ) from None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
