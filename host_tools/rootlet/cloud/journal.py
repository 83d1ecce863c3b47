"""The journal of a bulk registration: which devices are done, in which account, and with which policies and options.

Its first line says what it is a journal of. A journal of anything else is put aside, and a new one begins: what is done in
one account is not done in another. A run holds a lock on the file.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rootlet.cloud import registration
from rootlet.cloud.registration import Certified, RegistrationRequest
from rootlet.errors import BadInput, RootletError
from rootlet.files import write_atomic
from rootlet.pki.storage import aside

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


def purpose(iot: "IoTClient", wanted: RegistrationRequest) -> dict[str, Any]:
    """What a run registers devices for: the account, its region, and how. Raises RootletError.

    The device endpoint stands for the account: each account has one of its own in each region (AWS IoT: DescribeEndpoint).
    """
    where = {"endpoint": registration.endpoint(iot), "region": iot.meta.region_name, "api": iot.meta.endpoint_url}
    plain: dict[str, Any] = json.loads(json.dumps(where | asdict(wanted)))  # tuples as lists, as they are read again
    return plain


class Journal:
    """The devices that are done. ``restarted`` says why an earlier journal does not count, or is empty."""

    def __init__(self, path: Path, stream: IO[bytes], about: Mapping[str, Any]) -> None:
        self._path, self._stream, self._about = path, stream, about
        self.restarted = ""
        data = self._read()
        if data and not data.endswith(b"\n"):  # a crash cut its last line off
            stream.write(b"\n")
        header, self.done = _parsed(data)
        if header != about:
            self.restart(_difference(header, about))

    def note(self, device: Certified) -> None:
        """Write that a device is done; it is on the disk when this returns."""
        self._append({"certificate": device.certificate_id, "thing": device.thing})
        self.done.add(device.certificate_id)

    def restart(self, why: str) -> None:
        """Begin afresh; what was there is kept beside. Only says why where there was something."""
        if old := self._read():
            kept = aside(self._path)
            write_atomic(kept, old)
            self.restarted = f"{why}: began afresh, and kept the old journal as {kept.name}"
        self._stream.truncate(0)
        self.done = set()
        self._append({"journal": self._about})

    def _read(self) -> bytes:
        self._stream.seek(0)
        return self._stream.read()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(entry).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())


@contextmanager
def opened(path: Path, about: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal at ``path``, of a run for ``about`` (``purpose``), locked.

    Raises BadInput where it cannot be written, and RootletError while another run has it.
    """
    try:
        stream = path.open("a+b")
    except OSError as error:
        raise BadInput(f"cannot write the journal {path}: {error.strerror}", hint="name another with --journal") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RootletError(f"another run is writing the journal {path}", hint="wait until it has ended") from None
        yield Journal(path, stream, about)


def _parsed(data: bytes) -> tuple[Any, set[str]]:
    """What the journal is of, and the certificate IDs in it. A line that a crash cut off is ignored."""
    header, done = None, set()
    for number, line in enumerate(data.splitlines()):
        try:
            entry = json.loads(line)
            if number == 0 and "journal" in entry:
                header = entry["journal"]
            else:
                done.add(str(entry["certificate"]))
        except (ValueError, KeyError, TypeError):
            continue
    return header, done


def _difference(header: Any, about: Mapping[str, Any]) -> str:
    if not isinstance(header, dict):
        return "the journal does not say which account it is of"
    key = next((key for key, value in about.items() if header.get(key) != value), "format")
    return f"the journal is of another {key} ({_shown(header.get(key))}, now {_shown(about.get(key))})"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
