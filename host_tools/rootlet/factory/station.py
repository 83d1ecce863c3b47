"""One board through the station: identify, assign, issue, image, burn, protect, prove, register or queue, connect, label.

The ledger and the board say where to begin, so that after any interruption the board is run again.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from cryptography import x509

from rootlet.board import flasher
from rootlet.board.chip import Chip, Locked, WrongBoard
from rootlet.board.efuses import BurnStep
from rootlet.board.flasher import Region
from rootlet.board.images import ImageFile
from rootlet.errors import RootletError
from rootlet.factory import protection
from rootlet.factory.admission import AlreadyDone, ConnectedBoard, Refused
from rootlet.factory.content import Content, PlainContent, WrittenContent, seal
from rootlet.factory.database import LedgerUnavailable
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.protection import Protection
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import BEFORE_PROOF, State, Step
from rootlet.pki import keys
from rootlet.pki.certificates import PublicKey
from rootlet.pki.identity import DeviceIdentity


class Phase(StrEnum):
    """What a port does besides the ledger's steps, and how a board's visit ends."""

    EMPTY = "empty"
    IDENTIFY = "identify"
    ASSIGN = "assign"
    DONE = "done"
    ALREADY = "already done"
    FAILED = "failed"
    REFUSED = "set aside"
    FINISHED = "no identity left"
    HELD = "waiting for the line"


class LineTrouble(RootletError):  # noqa: N818 - reads as what it is
    """An error of the line instead of the board: the CA cannot sign now. The board waits, and is tried again."""


@dataclass(frozen=True)
class PortStatus:
    """The status of a board: ``fraction`` (0 to 1) of a phase, or how the board ended and what to do."""

    phase: Phase | Step
    thing: str = ""
    mac: str = ""
    fraction: float = 0.0
    what: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Tools:
    """The services that a station uses. None of them keeps a key.

    ``certify`` asks the signing desk; it returns the certificate and its issuers, or raises LineTrouble.
    ``claim_mac`` returns the port at which a board with this MAC address is being worked on, or None.
    ``register`` registers the certificate in AWS, or raises RootletError; None where it is registered later.
    ``protection`` burns the board's eFuses; None for a batch whose boards stay as they are.
    ``connect`` proves that the board boots and connects; ``label`` prints; ``keep_key`` stores a key, encrypted.
    """

    ledger: Ledger
    plan: BatchPlan
    batch: str
    chip: str
    image: ImageFile | None
    baud: int
    certify: Callable[[str, str | None, PublicKey], tuple[x509.Certificate, tuple[x509.Certificate, ...]]]
    claim_mac: Callable[[str], str | None]
    register: Callable[[IdentityRecord], None] | None
    connect: Callable[[Chip], None] | None
    label: Callable[[IdentityRecord], None]
    keep_key: Callable[[DeviceIdentity], None] | None
    protection: Protection | None
    tell: Callable[[PortStatus], None]


class Station:
    """Runs the board at one port through its steps."""

    def __init__(self, port: str, tools: Tools) -> None:
        self._port = port
        self._tools = tools
        self._thing = self._mac = ""

    def run(self) -> PortStatus:
        """Run the steps that the board at the port still needs, and return how it ended.

        Raises LedgerUnavailable and LineTrouble: the board is then tried again when the line works.
        """
        self._thing = self._mac = ""
        try:
            return self._run()
        except (LedgerUnavailable, LineTrouble):
            raise
        except WrongBoard as wrong:
            # Which image and which batch are on the line is the engineer's setting: an operator has a board in hand.
            return self._refused(
                wrong.what,
                "it is another kind of board; if all of them are, batch and image are not those of these boards: "
                "they are set in rootlet factory run",
            )
        except Locked as locked:
            return self._refused(locked.what, "it is protected, and not by this line: nothing can be written to it")
        except AlreadyDone as done:
            return self._status(Phase.ALREADY, what=done.what, hint=done.hint)
        except Refused as refused:
            return self._refused(refused.what, refused.hint)
        except RootletError as error:
            # On the factory floor there is a board to connect again, instead of a command to run.
            hint = error.hint.replace("run the command again", "connect the board again")
            return self._status(Phase.FAILED, what=error.what, hint=hint)

    def _refused(self, what: str, hint: str) -> PortStatus:
        self._tools.ledger.refuse(self._mac or None, what)
        return self._status(Phase.REFUSED, what=what, hint=hint)

    def _run(self) -> PortStatus:
        self._say(Phase.IDENTIFY)
        with Chip(self._port, chip=self._tools.chip, baud=self._tools.baud, even_encrypted=True) as chip:
            self._mac = chip.mac
            other = self._tools.claim_mac(chip.mac)
            if other is not None:
                raise Refused(
                    f"a board with the MAC address {chip.mac} is also at {other}",
                    hint="set both aside: two boards have the same MAC address",
                )
            if self._tools.image is not None:
                flasher.check_fit(chip, self._tools.image.data)
            found = protection.recognize(chip, self._tools.image, self._tools.ledger, self._tools.protection)
            self._say(Phase.ASSIGN)
            record = self._tools.ledger.assign(self._tools.batch, found)
            if record is None:
                return self._status(
                    Phase.FINISHED,
                    what=f"batch {self._tools.batch} has no identity left for this board",
                    hint="put the board back, and open another batch",
                )
            self._thing = record.thing
            record = self._make(chip, record, found)
            queued = record.state is State.WAITING
            done = "proved, and will be registered later" if queued else "proved and registered"
            return self._status(Phase.DONE, what=f"{record.thing} is {done}", hint="take the next board")

    def _make(self, chip: Chip, record: IdentityRecord, found: ConnectedBoard) -> IdentityRecord:
        if record.state in BEFORE_PROOF:
            record = self._provision(chip, record, found)
        return self._finish(chip, record)  # by now the device's key is on the board only

    def _provision(self, chip: Chip, record: IdentityRecord, found: ConnectedBoard) -> IdentityRecord:
        """The steps up to the proof."""
        record, content = self._content(chip, record, found)
        if self._tools.image is not None and record.state is State.ISSUED:
            record = self._do(record, Step.IMAGE, lambda: self._burn_image(chip, content.image))
        if record.state in (State.ISSUED, State.IMAGED):
            record = self._do(record, Step.BURN, lambda: content.write_credentials(chip), detail=content.detail)
        if record.state is State.BURNED and (protected := self._tools.protection) is not None:
            burn = functools.partial(self._burn_efuses, chip, protected, content)
            record = self._do(record, Step.PROTECT, burn, detail=protected.detail)
        certificate = record.certificate
        return self._do(record, Step.PROVE, lambda: self._prove(chip, content, certificate))

    def _content(self, chip: Chip, record: IdentityRecord, found: ConnectedBoard) -> tuple[IdentityRecord, Content]:
        """What is written to the board, and the record after its certificate was issued, where that is not done yet."""
        image, protected = self._tools.image, self._tools.protection
        # A board with the certificate of the ledger has the key, too, and nobody else has it.
        if not found.holds(record.certificate_id):
            record, identity = self._issue(record)
            if protected is None or not protected.setup.encrypts:
                return record, PlainContent(image, identity)
            assert image is not None
            return record, seal(image, identity)
        known = self._tools.ledger.sealed(chip.mac) if found.fixed else None
        return record, WrittenContent(known) if known else PlainContent(image, None)

    def _prove(self, chip: Chip, content: Content, certificate: x509.Certificate) -> None:
        if self._tools.protection is not None:
            self._tools.protection.check(chip)
        content.prove(chip, certificate)

    def _finish(self, chip: Chip, record: IdentityRecord) -> IdentityRecord:
        """The steps after the proof, which do not touch the board's flash."""
        if record.state in (State.PROVED, State.QUEUED) and self._tools.register is not None:
            record = self._register(record)
        if record.state is State.PROVED:
            record = self._do(record, Step.QUEUE, lambda: None)
        if record.state is State.REGISTERED and self._tools.connect is not None:
            connect = self._tools.connect
            record = self._do(record, Step.CONNECT, lambda: connect(chip))
        labelled = record
        return self._do(record, Step.LABEL, lambda: self._tools.label(labelled))

    def _register(self, record: IdentityRecord) -> IdentityRecord:
        """The record after registration, or the same one: an unreachable AWS does not delay a board."""
        register = self._tools.register
        assert register is not None
        try:
            return self._do(record, Step.REGISTER, lambda: register(record))
        except LedgerUnavailable:
            raise
        except RootletError as error:
            self._say(Step.QUEUE, what=error.what)
            return record

    def _issue(self, record: IdentityRecord) -> tuple[IdentityRecord, DeviceIdentity]:
        """A new key, which exists in this process only, and its certificate."""
        made: list[DeviceIdentity] = []

        def act() -> x509.Certificate:
            key = keys.generate(self._tools.plan.key_type)
            certificate, issuers = self._tools.certify(record.thing, record.serial, key.public_key())
            identity = DeviceIdentity(record.thing, certificate, key, issuers)
            if self._tools.keep_key is not None:
                self._tools.keep_key(identity)
            made.append(identity)
            return certificate

        return self._do(record, Step.ISSUE, act), made[0]

    def _burn_image(self, chip: Chip, wanted: Sequence[Region]) -> None:
        total, done = sum(len(region.data) for region in wanted), 0

        def progress(size: int) -> None:
            nonlocal done
            done += size
            self._say(Step.IMAGE, fraction=done / total)

        flasher.burn(chip, wanted, progress)

    def _burn_efuses(self, chip: Chip, protected: Protection, content: Content) -> None:
        done = 0

        def progress(_step: BurnStep, _now: bool) -> None:
            nonlocal done
            done += 1
            self._say(Step.PROTECT, fraction=done / len(protected.setup.plan.steps))

        protected.burn(chip, content.key, progress)

    def _do(
        self,
        record: IdentityRecord,
        step: Step,
        act: Callable[[], x509.Certificate | None],
        *,
        detail: Mapping[str, Any] = MappingProxyType({}),
    ) -> IdentityRecord:
        """Run one step, recorded before and after it acts; a failure is recorded, too. ``detail`` is recorded before."""
        self._tools.ledger.begin(record, step, detail)
        self._say(step)
        try:
            certificate = act()
        except LedgerUnavailable:
            raise
        except RootletError as error:
            self._tools.ledger.fail(record, step, error.what)
            raise
        except OSError as error:  # a full disk, a printer that is off
            self._tools.ledger.fail(record, step, str(error))
            raise RootletError(f"{step}: {error}", hint="correct the cause, then connect the board again") from None
        return self._tools.ledger.finish(record, step, certificate=certificate)

    def _say(self, phase: Phase | Step, *, fraction: float = 0.0, what: str = "") -> None:
        self._tools.tell(self._status(phase, fraction=fraction, what=what))

    def _status(self, phase: Phase | Step, *, fraction: float = 0.0, what: str = "", hint: str = "") -> PortStatus:
        return PortStatus(phase, self._thing, self._mac, fraction, what, hint)


def registers_now(plan: BatchPlan) -> bool:
    """Whether the station registers the batch's identities itself."""
    return plan.registration is RegistrationMode.NOW


def until_connected(lines: Iterable[str], port: str) -> None:
    """Follow a booting board's log until the cloud acknowledges its first message. Raises RootletError for a fault."""
    for line in lines:
        if "mqtt: first puback" in line:
            return
        if " fault: " in f" {line}":
            raise RootletError(
                f"the board on {port} booted and reports {line.strip()}", hint="read its log: rootlet monitor"
            )
    raise RootletError(f"the board on {port} did not connect", hint="read its log: rootlet monitor")
