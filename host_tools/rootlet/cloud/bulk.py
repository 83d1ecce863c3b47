"""Registers many devices below AWS's rate limits: a token bucket, retries, and a journal to resume from."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from rootlet.cloud import registration
from rootlet.cloud.client import aws_errors
from rootlet.cloud.registration import Certified
from rootlet.errors import RootletError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

LIMITS: Mapping[str, float] = {
    "RegisterCertificateWithoutCA": 10,
    "RegisterCertificate": 10,
    "DescribeCertificate": 10,
    "AttachPolicy": 15,
    "AttachThingPrincipal": 15,
    "ListAttachedPolicies": 15,
    "ListThingPrincipals": 10,
    "CreateThing": 15,
    "DescribeThing": 10,
    "GetPolicy": 10,
}
"""Calls a second that an account may make (AWS IoT's default quotas where documented, else 10 or 15)."""


class TokenBucket:
    """Limits calls to ``rate`` a second, with a burst of one second's calls."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ):
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._tokens, self._at = rate, clock()

    def take(self) -> None:
        """Wait until one more call may be made."""
        now = self._clock()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            wait = (1 - self._tokens) / self._rate
            self._sleep(wait)
            self._at += wait
            self._tokens = 1
        self._tokens -= 1


def paced(limits: Mapping[str, float] = LIMITS) -> "IoTClient":
    """A control plane client that keeps each operation below its limit, and backs off where AWS throttles it anyway."""
    with aws_errors():
        iot = boto3.client("iot", config=Config(retries={"mode": "adaptive", "max_attempts": 10}))
    buckets = {operation: TokenBucket(rate) for operation, rate in limits.items()}

    def wait(model: Any, **_: Any) -> None:
        if model.name in buckets:
            buckets[model.name].take()

    iot.meta.events.register("before-call.iot.*", wait)
    return iot


@dataclass(frozen=True)
class DeviceResult:
    """One device's result; ``problem`` is empty where it is registered."""

    thing: str
    certificate_id: str
    changed: bool
    problem: str = ""


def register_all(
    iot: "IoTClient",
    identities: Iterable[Certified],
    journal: Path,
    register: Callable[["IoTClient", Certified], registration.RegistrationResult],
) -> Iterator[DeviceResult]:
    """The result of each device, registered one after another. Devices in ``journal`` are skipped, new ones are appended.

    A device that AWS refuses is reported, and the next one follows.
    """
    done = read_journal(journal)
    with _appending(journal) as note:
        for identity in identities:
            if identity.certificate_id in done:
                continue
            try:
                result = register(iot, identity)
            except RootletError as error:
                yield DeviceResult(identity.thing, identity.certificate_id, False, error.what)
                continue
            note({"certificate": identity.certificate_id, "thing": identity.thing})
            yield DeviceResult(identity.thing, identity.certificate_id, bool(result.changes))


def read_journal(journal: Path) -> set[str]:
    """The certificate IDs in a journal. A last line that a crash cut off is ignored: that device is registered again."""
    done = set()
    if journal.exists():
        for line in journal.read_text().splitlines():
            try:
                done.add(json.loads(line)["certificate"])
            except (ValueError, KeyError):
                continue
    return done


@contextmanager
def _appending(journal: Path) -> Iterator[Callable[[dict[str, str]], None]]:
    with journal.open("a+b") as stream:
        stream.seek(0, os.SEEK_END)
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")

        def note(entry: dict[str, str]) -> None:
            stream.write(json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

        yield note
