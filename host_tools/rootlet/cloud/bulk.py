"""Registers many devices below AWS's rate limits: a token bucket, retries, and a journal to resume from."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from rootlet.aws_answers import checked
from rootlet.cloud import registration
from rootlet.cloud.client import aws_errors
from rootlet.cloud.journal import Journal
from rootlet.cloud.registration import Certified
from rootlet.errors import RootletError
from rootlet.words import are, number_of

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
    "ListPrincipalThingsV2": 10,
    "ListThingGroupsForThing": 10,
    "CreateThing": 15,
    "DescribeThing": 10,
    "GetPolicy": 10,
}
"""Calls a second that an account may make (AWS IoT's default quotas where documented, else 10 or 15)."""

SAMPLE = 5
"""How many of the devices in a journal are looked up before it is believed."""


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
        iot = checked(boto3.client("iot", config=Config(retries={"mode": "adaptive", "max_attempts": 10})))
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
    known: bool = False
    """Whether the journal said so already, and it was compared with the account."""


def register_all(
    iot: "IoTClient",
    identities: Iterable[Certified],
    journal: Journal,
    register: Callable[["IoTClient", Certified], registration.RegistrationResult],
    *,
    verify: bool = False,
) -> Iterator[DeviceResult]:
    """The result of each device, registered one after another. Devices in ``journal`` are skipped, new ones are appended.

    With ``verify`` those in it are compared with the account, too, and registered anew where something lacks. A device that
    AWS refuses is reported, and the next one follows.
    """
    for identity in identities:
        known = identity.certificate_id in journal.done
        if known and not verify:
            continue
        try:
            result = register(iot, identity)
        except RootletError as error:
            yield DeviceResult(identity.thing, identity.certificate_id, False, error.what)
            continue
        if not known:
            journal.note(identity)
        yield DeviceResult(identity.thing, identity.certificate_id, bool(result.changes), known=known)


def check_journal(iot: "IoTClient", identities: Sequence[Certified], journal: Journal) -> str:
    """A warning where the account lacks some of what ``journal`` says is done; empty where a sample of it is there.

    Where it has none of the sample, it is not the account that it was: the journal begins afresh. Raises RootletError.
    """
    done = [identity for identity in identities if identity.certificate_id in journal.done]
    sample = done[:: max(1, len(done) // SAMPLE)]
    with aws_errors():
        lacking = [identity for identity in sample if not _knows(iot, identity.certificate_id)]
    if not lacking:
        return ""
    count = f"{len(lacking)} of {number_of(len(sample), 'certificate')}"
    what = f"the account does not know {count} that the journal says {are(len(sample))} registered"
    if len(lacking) < len(sample):
        return f"{what}; --verify compares all"
    journal.restart(what)
    return ""


def _knows(iot: "IoTClient", certificate_id: str) -> bool:
    try:
        iot.describe_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return False
    return True
