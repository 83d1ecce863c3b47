"""One board through the station: identify, assign, issue, image, burn, prove, register or queue, connect, label, done.

The ledger and the board say where to begin, so that after any interruption the board is run again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509

from rootlet.board import credentials, flasher, partitions, secure_cert
from rootlet.board.chip import Chip, WrongBoard
from rootlet.board.images import ImageFile
from rootlet.errors import RootletError
from rootlet.factory.admission import AlreadyDone, ConnectedBoard, Refused
from rootlet.factory.database import LedgerUnavailable
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import BEFORE_PROOF, State, Step
from rootlet.pki import keys
from rootlet.pki.certificates import PublicKey, supported_public_key
from rootlet.pki.external_key import is_pair
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
        with Chip(self._port, chip=self._tools.chip, baud=self._tools.baud) as chip:
            self._mac = chip.mac
            other = self._tools.claim_mac(chip.mac)
            if other is not None:
                raise Refused(
                    f"a board with the MAC address {chip.mac} is also at {other}",
                    hint="set both aside: two boards have the same MAC address",
                )
            if self._tools.image is not None:
                flasher.check_fit(chip, self._tools.image.data)
            found = recognize(chip, self._tools.image)
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
            identity = None
            # A board with the certificate of the ledger has the key, too, and nobody else has it.
            if not found.holds(record.certificate_id):
                record, identity = self._issue(record)
            if self._tools.image is not None and record.state is State.ISSUED:
                record = self._do(record, Step.IMAGE, lambda: self._burn_image(chip))
            if record.state in (State.ISSUED, State.IMAGED):
                record = self._do(record, Step.BURN, lambda: self._burn_identity(chip, identity))
            identity = None  # from here on the key is on the board only
            certificate = record.certificate
            record = self._do(record, Step.PROVE, lambda: prove(chip, certificate))
        return self._finish(chip, record)

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

    def _burn_image(self, chip: Chip) -> None:
        assert self._tools.image is not None
        wanted = [region for region in flasher.regions(self._tools.image.data) if region.name != partitions.SECURE_CERT]
        total, done = sum(len(region.data) for region in wanted), 0

        def progress(size: int) -> None:
            nonlocal done
            done += size
            self._say(Step.IMAGE, fraction=done / total)

        flasher.burn(chip, wanted, progress)

    def _burn_identity(self, chip: Chip, identity: DeviceIdentity | None) -> None:
        if identity is not None:
            flasher.write_identity(chip, identity)

    def _do(self, record: IdentityRecord, step: Step, act: Callable[[], x509.Certificate | None]) -> IdentityRecord:
        """Run one step, recorded before and after it acts; a failure is recorded, too."""
        self._tools.ledger.begin(record, step)
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


def prove(chip: Chip, certificate: x509.Certificate) -> None:
    """Read the credentials back and check that the board has ``certificate`` and its key.

    Raises RootletError where it does not.
    """
    place = partitions.find(flasher.read_table(chip), partitions.SECURE_CERT)
    found = secure_cert.to_identity(credentials.read(chip, place))
    if found.certificate != certificate:
        raise RootletError(f"the board has a certificate of {found.thing} that is not the ledger's", hint=flasher.AGAIN)
    if not is_pair(found.key, supported_public_key(certificate.public_key())):
        raise RootletError("the key on the board does not match its certificate", hint=flasher.AGAIN)


def registers_now(plan: BatchPlan) -> bool:
    """Whether the station registers the batch's identities itself."""
    return plan.registration is RegistrationMode.NOW


def recognize(chip: Chip, image: ImageFile | None = None) -> ConnectedBoard:
    """The board's MAC address, and the content of its credential partition. Raises RootletError for a lost board.

    ``image`` is what is about to be written.
    """
    found = credentials.look(chip, image.credentials if image else None)
    if found is None:
        return ConnectedBoard(chip.mac)  # a new board
    return ConnectedBoard(chip.mac, found.certificate_id, whole=found.identity is not None)


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
