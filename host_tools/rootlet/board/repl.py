"""The developer's loop, over mpremote's library: changed files onto a running board, and a soft reset."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport
from serial import SerialException

from rootlet.board import console, firmware
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
_REMOVE = """
import os
for n in {names}:
    try:
        os.remove(n)
    except OSError:
        pass
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
        removed, if it is the application's; roots, configuration and the device's state stay.
        """
        manifest = self._manifest()
        removed = sorted(name for name in manifest - files.keys() if name.split("/")[1] not in firmware.OURS)
        wanted = dict(files)
        wanted[firmware.MANIFEST] = _json(sorted(manifest.union(files, [firmware.MANIFEST]).difference(removed)))
        changed = self._changed(wanted)
        with self._told():
            for name in changed:
                if on_file:
                    on_file(name)
                self._write(name, wanted[name])
            if removed:
                self._transport.exec(_REMOVE.format(names=removed))
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

    def _changed(self, files: Mapping[str, bytes]) -> list[str]:
        names = sorted(files)
        with self._told():
            digests = json.loads(self._transport.exec(_HASHES.format(names=names)))
        known = dict(zip(names, digests, strict=True))
        return [name for name in names if known[name] != hashlib.sha256(files[name]).hexdigest()]

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
                hint="check the port; close any program that uses it; run the command again, it sends what is missing",
            ) from None


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
