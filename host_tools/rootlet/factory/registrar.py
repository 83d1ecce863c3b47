"""Registering, revoking and reconciling a batch with AWS, from what the ledger holds."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from rootlet.cloud import lifecycle, registration
from rootlet.cloud.bulk import TokenBucket
from rootlet.errors import RootletError
from rootlet.factory import views
from rootlet.factory.database import Database, LedgerUnavailable
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import State, Step
from rootlet.pki.authority import read_certificates
from rootlet.pki.identity import PublicIdentity

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

SLOW = 5.0
"""Seconds after which a failed attempt counts as an outage of AWS."""

PAUSE = 60.0
"""Seconds after an outage in which no station waits for AWS."""

RATE = 9.0
"""Registrations a second: AWS allows 10 calls of each operation by default, and other programs may need one."""

_THREADS = 8


class Registrar:
    """Registers proved identities. Called with a record, it raises RootletError where the registration fails."""

    def __init__(self, iot: "IoTClient", plan: BatchPlan, issuers: tuple[x509.Certificate, ...]) -> None:
        self._iot = iot
        self._plan = plan
        self._issuers = issuers
        self._resume_at = 0.0

    def __call__(self, record: IdentityRecord) -> None:
        if time.monotonic() < self._resume_at:
            raise RootletError(
                "AWS did not respond to the last registration", hint="register later: rootlet factory register"
            )
        began = time.monotonic()
        try:
            self._register(record)
        except RootletError:
            if time.monotonic() - began > SLOW:
                self._resume_at = time.monotonic() + PAUSE
            raise

    def _register(self, record: IdentityRecord) -> None:
        assert record.certificate_id is not None
        thing = registration.ThingProperties(attributes=dict(record.attributes))
        registration.register(
            self._iot,
            PublicIdentity(record.thing, record.certificate, self._issuers),
            replace(request(self._plan), thing=thing),
        )


def request(plan: BatchPlan) -> registration.RegistrationRequest:
    """How the devices of a batch are registered, without what is each thing's own."""
    return registration.RegistrationRequest(
        application=plan.application,
        streams=plan.streams,
        topics=plan.topics,
        services=plan.services,
        policy=plan.policy,
        with_ca=plan.with_ca,
    )


@dataclass
class Drained:
    """The result of ``drain``; ``failed`` has thing and cause."""

    registered: int
    failed: list[tuple[str, str]]
    left: int


def drain(
    database: Database,
    ledger: Ledger,
    batch: str,
    register: Callable[[IdentityRecord], None],
    *,
    rate: float = RATE,
    progress: Callable[[int, int], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Drained:
    """Register the waiting identities of ``batch``, at most ``rate`` a second. A second run resumes an interrupted one.

    ``progress`` gets the number done and the number of all. A thing that AWS refuses is reported, and the next one follows.
    """
    waiting = [line.thing for line in views.lines(database, batch, states=(State.WAITING,))]
    drained = Drained(0, [], len(waiting))
    bucket, turn = TokenBucket(rate), threading.Lock()

    def one(thing: str) -> str | None:
        with turn:
            bucket.take()
        try:
            _register_one(ledger, register, thing)
        except LedgerUnavailable:
            raise
        except RootletError as error:
            return error.what
        return None

    def done(futures: "set[Future[str | None]]") -> None:
        for future in futures:
            cause = future.result()
            thing = running.pop(future)
            drained.left -= 1
            if cause is None:
                drained.registered += 1
            else:
                drained.failed.append((thing, cause))
            progress(len(waiting) - drained.left, len(waiting))

    progress(0, len(waiting))
    running: dict[Future[str | None], str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for thing in waiting:
            if stop():
                break
            running[pool.submit(one, thing)] = thing
            if len(running) >= 2 * _THREADS:  # so that an interruption ends soon
                done(wait(running, return_when=FIRST_COMPLETED).done)
        done(wait(running).done)
    return drained


def _register_one(ledger: Ledger, register: Callable[[IdentityRecord], None], thing: str) -> None:
    record = ledger.take_over(thing)
    ledger.begin(record, Step.REGISTER)
    try:
        register(record)
    except RootletError as error:
        ledger.fail(record, Step.REGISTER, error.what)
        raise
    ledger.finish(record, Step.REGISTER)


def scrap(ledger: Ledger, iot: Callable[[], "IoTClient"], thing: str, reason: str) -> bool:
    """Scrap an identity permanently, after revoking it in AWS where AWS may trust it. Returns whether it was revoked.

    ``iot`` returns a client when one is needed. A second run completes an interrupted one.
    """
    revoked = ledger.needs_revoking(thing)
    if revoked:
        record = ledger.take_over(thing)
        plan = ledger.plan(record.batch)
        ledger.begin(record, Step.REVOKE)
        try:
            cloud = iot()
            known = {one: lifecycle.withdraw(cloud, one) for one in ledger.certificates(thing)}
            current = record.certificate_id
            if plan.registration is RegistrationMode.JITP and current is not None and not known.get(current):
                lifecycle.block(cloud, record.certificate, read_certificates(Path(plan.ca))[0])
                lifecycle.withdraw(cloud, current)
        except RootletError as error:
            ledger.fail(record, Step.REVOKE, error.what)
            raise
        ledger.finish(record, Step.REVOKE)
    ledger.scrap(thing, reason)
    return revoked


@dataclass(frozen=True)
class Discrepancy:
    """A difference between the ledger and AWS. ``mend`` says whether ``reconcile`` may correct the ledger."""

    thing: str
    what: str
    mend: bool = False


def reconcile(
    database: Database, ledger: Ledger, iot: "IoTClient", batch: str, *, mend: bool = False
) -> Iterator[Discrepancy]:
    """The differences between the identities of ``batch`` and AWS. ``mend`` enters what AWS did without the ledger.

    These are certificates that AWS provisioned on the first connection (JITP), and registrations whose answer was lost.
    Nothing in AWS is changed.
    """
    known = lifecycle.statuses(iot)
    for line in views.lines(database, batch):
        if line.certificate_id is None:
            continue
        if line.state in (State.QUEUED, State.WAITING) and known.get(line.certificate_id) == "ACTIVE":
            yield Discrepancy(line.thing, "is active in AWS, and still waiting in the ledger", mend=True)
            if mend:
                _register_one(ledger, lambda _: None, line.thing)
            continue
        if (what := _disagreement(line, known.get(line.certificate_id))) is not None:
            yield Discrepancy(line.thing, what)
    for thing, old in views.superseded(database, batch):
        if known.get(old) == "ACTIVE":
            yield Discrepancy(thing, f"its earlier certificate {old} is active in AWS: revoke it")


def _disagreement(line: views.IdentityRow, status: str | None) -> str | None:
    if line.state in (State.REGISTERED, State.DONE):
        return None if status == "ACTIVE" else f"is {status or 'unknown'} in AWS, and {line.state} in the ledger"
    if status == "ACTIVE":
        return f"is active in AWS, and {line.state} in the ledger"
    return None
