"""Batches of identities: issued on all cores into one directory, resumed where an earlier run stopped.

A batch is a directory (0700) with ``batch.json`` (what was ordered), ``issuer.crt`` (the CA's chain) and parts
``part-00000.jsonl`` … (0600), each a few hundred devices, one a line: ``{"thing", "certificate", "key"}`` with DER in
base64. A part is written whole or not at all. The next run issues the missing ones, and completes what lost devices since.
"""

import base64
import fcntl
import gc
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key

from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input, write_secret
from rootlet.pki import batch_parts, keys
from rootlet.pki.authority import DEVICE_DAYS, Authority
from rootlet.pki.certificates import Issuer, PrivateKey
from rootlet.pki.identity import ISSUERS, DeviceIdentity, load_certificates
from rootlet.pki.keys import KeyType
from rootlet.pki.series import DeviceSeries
from rootlet.pki.storage import aside, check_vacant, write_directory
from rootlet.pki.subject import Subject, check_thing_name
from rootlet.processes import end_with_parent
from rootlet.words import are, number_of

ORDER = "batch.json"
FORMAT = 1
_PART_SIZES = {"ec": 500, "rsa": 25}  # devices: what a killed run loses, about a second's work
_LONGEST_RUNS = {"ec": 8, "rsa": 1}  # parts: what Ctrl-C waits for, a second or so

Entry = tuple[str, str | None]
"""A thing's name, and its product's serial number where it has one."""

_Certify = Callable[[x509.Name, PrivateKey], bytes]
"""(subject, key) -> the DER of a certificate."""


@dataclass(frozen=True)
class BatchRequest:
    """The devices to issue, and what they share. Raises BadInput for an invalid or repeated name."""

    entries: Sequence[Entry]
    subject: Subject = field(default_factory=Subject)
    key_type: KeyType = "ec-p256"
    days: int = DEVICE_DAYS

    def __post_init__(self) -> None:
        if not self.entries:
            raise BadInput("the batch has no devices", hint="name at least one device")
        seen = set()
        for thing, serial in self.entries:
            check_thing_name(thing)
            if thing in seen:
                raise BadInput(f"{thing} is named twice", hint="name every device once")
            seen.add(thing)
            if serial is not None:
                Subject(serial_number=serial)

    @property
    def part_size(self) -> int:
        return _PART_SIZES[self.key_type.split("-")[0]]

    @property
    def longest_run(self) -> int:
        return _LONGEST_RUNS[self.key_type.split("-")[0]]

    def parts(self) -> list[Sequence[Entry]]:
        return [self.entries[at : at + self.part_size] for at in range(0, len(self.entries), self.part_size)]

    def record(self, issuer: x509.Certificate) -> dict[str, Any]:
        """The content of ``batch.json``. A run resumes a directory only where the content is the same."""
        names = hashlib.sha256(json.dumps(list(self.entries)).encode()).hexdigest()
        return {
            "format": FORMAT,
            "issuer_sha256": issuer.fingerprint(hashes.SHA256()).hex(),
            "devices": len(self.entries),
            "names_sha256": names,
            "subject": self.subject.given(),
            "key_type": self.key_type,
            "days": self.days,
            "part_size": self.part_size,
        }


@dataclass(frozen=True)
class BatchResult:
    """The number of devices that this run issued, and that earlier runs had issued.

    ``replaced`` names the copies of parts that were damaged: this run completed the parts themselves.
    """

    issued: int
    kept: int
    replaced: tuple[str, ...] = ()


def issue(
    authority: Authority,
    directory: Path,
    order: BatchRequest,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> BatchResult:
    """Issue the devices of a request into ``directory``, with ``workers`` processes (default: one a core), or resume there.

    ``progress`` is called with the number of devices done so far. A key that a token or a service holds signs in this
    process alone, since the holder sets the pace. Raises BadInput where the directory holds another batch.
    """
    _begin(authority, directory, order)
    with _alone(directory):
        for half in directory.glob(".part-*"):
            half.unlink()  # what a killed run was writing
        missing, replaced = _missing(directory, order)
        kept = len(order.entries) - sum(len(part.entries) - len(part.there) for part in missing)
        done = kept
        progress(done)
        if authority.is_file:
            results = _in_processes(authority, order, missing, workers or os.cpu_count() or 1)
        else:
            results = _here(authority, order, missing)
        for count in results:
            done += count
            progress(done)
    return BatchResult(done - kept, kept, tuple(replaced))


def read(directory: Path) -> Iterator[DeviceIdentity]:
    """The identities of a batch, in the order of the request. Raises BadInput for no batch, or an incomplete one."""
    issuers = _issuers(directory)
    for path, count in _finished_parts(directory):
        for line in batch_parts.lines(path, count):
            yield batch_parts.identity(path, line, issuers)


def find(directory: Path, thing: str) -> DeviceIdentity:
    """One device of a batch. Raises BadInput where the batch does not have it."""
    issuers = _issuers(directory)
    for path, count in _parts(directory):
        for line in batch_parts.lines(path, count) if path.exists() else ():
            if line["thing"] == thing:
                return batch_parts.identity(path, line, issuers)
    _finished_parts(directory)  # it may be in a part that is missing
    raise BadInput(f"{thing} is not in {directory}", hint="check the thing name")


def devices_in(part: Path) -> int | None:
    """The number of devices that a part has where it is whole; None for a file that is no part of a batch.

    Raises BadInput for a batch whose record is damaged.
    """
    if not (part.parent / ORDER).exists():
        return None
    return next((count for path, count in _parts(part.parent) if path.name == part.name), None)


def _begin(authority: Authority, directory: Path, order: BatchRequest) -> None:
    record = order.record(authority.certificate)
    if (directory / ORDER).exists():
        there = _read_order(directory)
        different = sorted(name for name in record if there.get(name) != record[name])
        if different:
            raise BadInput(
                f"{directory} holds another batch ({', '.join(different).replace('_', ' ')} differ)",
                hint="choose another directory, or repeat the command that began the batch",
            )
        return
    check_vacant(directory, "a batch")
    chain = b"".join(issuer.public_bytes(Encoding.PEM) for issuer in authority.chain)
    files = {ORDER: json.dumps(record, indent=2).encode() + b"\n", ISSUERS: chain}
    write_directory(directory, files, secret=(), what="a batch")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lock the directory: a second run would make other keys for the same devices."""
    with (directory / ORDER).open() as order:
        try:
            fcntl.flock(order, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"another run is issuing into {directory}", hint="wait for it to end") from None
        yield


@dataclass(frozen=True)
class _Part:
    """A part to write; ``there`` are the devices that an earlier run issued, which stay."""

    path: Path
    entries: Sequence[Entry]
    there: Mapping[str, batch_parts.Line] = field(repr=False)


def _missing(directory: Path, order: BatchRequest) -> tuple[list[_Part], list[str]]:
    """The parts that are not there or not whole, and the names under which the latter are kept as they are."""
    missing, replaced = [], []
    for number, entries in enumerate(order.parts()):
        path = batch_parts.place(directory, number)
        there, intact = batch_parts.survivors(path, [thing for thing, _ in entries])
        if intact:
            continue
        missing.append(_Part(path, entries, there))
        if path.exists():  # a key in it may be on a board already
            beside = aside(path)
            write_secret(beside, path.read_bytes())
            replaced.append(beside.name)
    return missing, replaced


def _here(authority: Authority, order: BatchRequest, missing: Sequence[_Part]) -> Iterator[int]:
    for part in missing:
        yield _write(part, _make(_certifier(authority, order), order, part))


def _in_processes(authority: Authority, order: BatchRequest, missing: Sequence[_Part], workers: int) -> Iterator[int]:
    """Issue the missing parts in processes: `cryptography` is slower in two threads than in one."""
    if not missing:
        return
    # A forked child inherits the CA's key in memory; other children get it through a pipe. The key is never in a file.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    parcel = (
        authority.certificate.public_bytes(Encoding.DER),
        keys.der(authority.issuer.key),
        replace(order, entries=(order.entries[0],)),
    )
    pool = ProcessPoolExecutor(min(workers, len(missing)), context, _start_worker, parcel)
    try:
        waiting: list[Future[int]] = [pool.submit(_work, run) for run in _runs(missing, workers, order.longest_run)]
        for future in as_completed(waiting):
            yield future.result()
    except BrokenProcessPool:
        raise RootletError("a worker process died", hint="free some memory, then repeat the command: it resumes") from None
    finally:
        # After Ctrl-C only the parts already begun are finished.
        pool.shutdown(cancel_futures=True)


_worker: tuple[Issuer, BatchRequest]


def _start_worker(certificate: bytes, key: bytes, order: BatchRequest) -> None:
    global _worker
    # Ctrl-C reaches the whole process group; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    gc.freeze()  # what was inherited stays: no collection walks it, so that its pages are not copied
    private = load_der_private_key(key, None)
    issuer = x509.load_der_x509_certificate(certificate)
    assert isinstance(private, keys.KINDS)
    _worker = Issuer(issuer, private), order


def _runs(parts: Sequence[_Part], workers: int, longest: int) -> Iterator[Sequence[_Part]]:
    """The parts in runs, long ones first, so that the workers end at about the same time."""
    at = 0
    while at < len(parts):
        size = min(max(1, (len(parts) - at) // (2 * workers)), longest)
        yield parts[at : at + size]
        at += size


def _work(run: Sequence[_Part]) -> int:
    """Issue a run of parts: while one is written, and waits for the disk, the next one is made."""
    with ThreadPoolExecutor(1) as writer:
        writes = [writer.submit(_write, part, _make(_in_series(*_worker), _worker[1], part)) for part in run]
    return sum(write.result() for write in writes)


def _certifier(authority: Authority, order: BatchRequest) -> _Certify:
    if authority.private_ca is None:
        return _in_series(authority.issuer, order)
    return lambda name, key: authority.certify_key(name, key, order.days).public_bytes(Encoding.DER)


def _in_series(issuer: Issuer, order: BatchRequest) -> _Certify:
    series = DeviceSeries(issuer, days=order.days)
    return lambda name, key: series.certificate(name, key.public_key())


def _make(certify: _Certify, order: BatchRequest, part: _Part) -> bytes:
    """The content of a part: new keys and certificates, and the devices that are there."""
    lines: list[batch_parts.Line] = []
    for thing, serial in part.entries:
        if thing in part.there:
            lines.append(part.there[thing])
            continue
        subject = order.subject if serial is None else replace(order.subject, serial_number=serial)
        key = keys.generate(order.key_type)
        certificate = certify(subject.name(thing), key)
        lines.append(
            {
                "thing": thing,
                "certificate": base64.b64encode(certificate).decode(),
                "key": base64.b64encode(keys.der(key)).decode(),
            }
        )
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def _write(part: _Part, data: bytes) -> int:
    """Write a part. Returns how many of its devices were issued for it."""
    try:
        write_secret(part.path, data)
    except OSError as error:
        raise RootletError(
            f"cannot write {part.path}: {error.strerror}", hint="free some space, then repeat the command: it resumes"
        ) from None
    return len(part.entries) - len(part.there)


def _read_order(directory: Path) -> dict[str, Any]:
    path = directory / ORDER
    if not path.exists():
        raise BadInput(f"no batch in {directory}", hint="issue one: rootlet device issue-batch")
    try:
        record = json.loads(read_input(path, "batch.json"))
        if record["format"] != FORMAT:
            raise BadInput(f"{path} has the unknown format {record['format']}", hint="use the Rootlet that wrote it")
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path} is not a valid record of a batch", hint="restore it from a backup") from None
    return dict(record)


def _parts(directory: Path) -> list[tuple[Path, int]]:
    """Each part and the number of devices in it."""
    record = _read_order(directory)
    devices, size = record["devices"], record["part_size"]
    return [(batch_parts.place(directory, at // size), min(size, devices - at)) for at in range(0, devices, size)]


def _finished_parts(directory: Path) -> list[tuple[Path, int]]:
    """As ``_parts``. Raises BadInput where one is missing."""
    found = _parts(directory)
    missing = sum(not path.exists() for path, _ in found)
    if missing:
        raise BadInput(
            f"the batch in {directory} is incomplete: {missing} of {number_of(len(found), 'part')} {are(missing)} missing",
            hint="repeat the command that began the batch: it resumes",
        )
    return found


def _issuers(directory: Path) -> tuple[x509.Certificate, ...]:
    _read_order(directory)
    return tuple(load_certificates(directory / ISSUERS))
