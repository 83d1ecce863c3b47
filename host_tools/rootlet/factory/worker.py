"""A port's process: it runs one board after the other through the station, independently of other ports.

It makes the devices' keys. Through a pipe it requests signatures from the line, and claims MAC addresses.
"""

import contextlib
import functools
import logging
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rootlet.board import console, efuses
from rootlet.board.chip import Chip
from rootlet.board.efuses import Fuses
from rootlet.board.images import ImageFile
from rootlet.errors import RootletError
from rootlet.factory.database import Database, LedgerUnavailable
from rootlet.factory.labels import Printer, Size, Template
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan
from rootlet.factory.protection import Protection, ProtectionSetup
from rootlet.factory.schema import Step
from rootlet.factory.station import LineTrouble, Phase, PortStatus, Station, Tools, registers_now, until_connected
from rootlet.factory.watch import mac_at, presence
from rootlet.files import make_private_directory, write_secret
from rootlet.pki import keys
from rootlet.pki.certificates import PublicKey
from rootlet.pki.identity import DeviceIdentity
from rootlet.processes import end_with_parent

LOG_BAUD = 115_200
_LOOK = 0.3  # seconds between two looks at an empty port
_JIG_LOOK = 2.0  # at a jig each look resets the board
_HELD = 3.0  # seconds before a board that waits for the line is tried again
_REPORTED = 0.1  # seconds between two messages about one phase's progress

_log = logging.getLogger("rootlet.factory")


@dataclass(frozen=True)
class LabelPlan:
    """The destination and the template of labels; see ``labels``."""

    place: str
    kind: str = "png"
    code: str = "{thing}"
    text: str = "{thing}\nSN {serial}\n{mac}"
    size: Size = field(default_factory=Size)


@dataclass(frozen=True)
class Setup:
    """The settings of a worker, as plain data, since they cross a pipe. ``issuers`` are DER.

    ``once``: one board a port, then the end. ``patience``: for how many seconds a board then waits for the line.
    ``jig``: the port stays when its board goes. ``connect``: for how many seconds a registered board may take to connect.
    ``keep_keys`` is a directory, and the passphrase that its keys are encrypted with.
    """

    ledger: str
    receipts: str
    station: str
    batch: str
    plan: BatchPlan
    chip: str
    image: ImageFile | None
    issuers: tuple[bytes, ...] = field(repr=False)
    baud: int = 460_800
    once: bool = False
    patience: float = 60.0
    jig: bool = False
    connect: float | None = None
    labels: LabelPlan | None = None
    keep_keys: tuple[str, bytes] | None = field(repr=False, default=None)
    protection: ProtectionSetup | None = None


def main(setup: Setup, port: str, line: Connection, stop: Event) -> None:
    """The process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the line decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash writes no key to disk
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the line has ended
        Worker(setup, port, line, stop).run()


class Worker:
    """Runs the boards of one port."""

    def __init__(self, setup: Setup, port: str, line: Connection, stop: Event) -> None:
        self._setup = setup
        self._port = port
        self._line = line
        self._stop = stop
        self._station: Station | None = None
        self._database: Database | None = None
        self._reported: tuple[Phase | Step | None, float] = (None, 0.0)

    def run(self) -> None:
        while not self._stop.is_set():
            self._tell(PortStatus(Phase.EMPTY))
            if not self._wait_until(lambda: self._here() is not None):
                return
            here = self._here()
            last = self._board()
            if self._setup.once:
                return
            if last.phase is not Phase.HELD:
                self._wait_until(functools.partial(self._changed, here))

    def _board(self) -> PortStatus:
        """Run one board to its end, repeatedly while it waits for the line."""
        give_up = time.monotonic() + self._setup.patience
        while True:
            status = self._try()
            self._send(status, "ended" if status.phase is not Phase.HELD else "status")
            if status.phase is not Phase.HELD:
                return status
            if self._setup.once and time.monotonic() > give_up:
                self._send(PortStatus(Phase.FAILED, status.thing, status.mac, 0, status.what, status.hint), "ended")
                return status
            if self._stop.wait(_HELD) or self._here() is None:
                return status

    def _try(self) -> PortStatus:
        try:
            if self._station is None:
                self._station = Station(self._port, self._tools())
            return self._station.run()
        except (LedgerUnavailable, LineTrouble) as trouble:
            return PortStatus(Phase.HELD, what=trouble.what, hint=trouble.hint)
        except RootletError as error:
            return PortStatus(Phase.FAILED, what=error.what, hint=error.hint)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            # One bad board must not stop the others. The log gets the traceback, which has no values and so no key.
            _log.exception("port %s", self._port)
            what = f"unforeseen {type(error).__name__}: {error}"
            return PortStatus(
                Phase.FAILED, what=what, hint="set the board aside, and report the error with the station's log"
            )

    def _changed(self, here: object) -> bool:
        return self._here() != here

    def _here(self) -> object:
        """A value that changes with the board at the port; None where there is no board."""
        if self._setup.jig:
            return mac_at(self._port, self._setup.baud)
        return presence(self._port)

    def _wait_until(self, there: Callable[[], bool]) -> bool:
        pause = _JIG_LOOK if self._setup.jig else _LOOK
        while not there():
            if self._stop.wait(pause):
                return False
        return not self._stop.is_set()

    def _tools(self) -> Tools:
        setup = self._setup
        self._database = self._database or Database(setup.ledger)
        return Tools(
            ledger=Ledger(self._database, station=setup.station, receipts=Path(setup.receipts)),
            plan=setup.plan,
            batch=setup.batch,
            chip=setup.chip,
            image=setup.image,
            baud=setup.baud,
            certify=self._certify,
            claim_mac=self._claim_mac,
            register=self._registrar(),
            connect=self._connect if setup.connect is not None else None,
            label=self._printer(),
            keep_key=self._keep_key if setup.keep_keys is not None else None,
            tell=self._tell,
            protection=Protection(setup.protection, self._fuses) if setup.protection else None,
        )

    @contextlib.contextmanager
    def _fuses(self, chip: Chip) -> Iterator[Fuses]:
        """The eFuses of the board at the port, or those that stand for them in a rehearsal."""
        assert self._setup.protection is not None
        if (virtual := self._setup.protection.virtual) is not None:
            with efuses.rehearsal(virtual / f"{chip.mac.replace(':', '')}.bin", chip.name) as fuses:
                yield fuses
            return
        with chip.released(), Fuses(port=self._port, chip=chip.name) as fuses:
            if fuses.mac.lower() != chip.mac:
                raise RootletError(f"the board on {self._port} was exchanged", hint="connect it again")
            yield fuses

    def _registrar(self) -> Any:
        if not registers_now(self._setup.plan):
            return None
        # Imported here: a deferred batch needs no boto3.
        from rootlet.cloud import client
        from rootlet.factory.registrar import Registrar

        return Registrar(client.iot(), self._setup.plan, self._issuers())

    def _printer(self) -> Any:
        labels = self._setup.labels
        if labels is None:
            return lambda _: None
        template = Template(labels.code, labels.text)
        return Printer(labels.place, labels.kind, template, self._setup.plan.customer, labels.size)

    def _connect(self, chip: Chip) -> None:
        if not chip.restart():
            raise RootletError(f"{self._port} has no reset line to the board", hint="run the command without --wait-online")
        chip.close()
        until_connected(console.lines(self._port, LOG_BAUD, seconds=self._setup.connect), self._port)

    def _keep_key(self, identity: DeviceIdentity) -> None:
        assert self._setup.keep_keys is not None
        directory, passphrase = self._setup.keep_keys
        make_private_directory(Path(directory))
        name = f"{identity.thing.replace(':', '_')}.{identity.certificate_id[:16]}.key"
        write_secret(Path(directory) / name, keys.encrypted_pem(identity.key, passphrase))

    def _issuers(self) -> tuple[x509.Certificate, ...]:
        return tuple(x509.load_der_x509_certificate(der) for der in self._setup.issuers)

    def _certify(
        self, thing: str, serial: str | None, public_key: PublicKey
    ) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        answer = self._ask("certify", thing, serial, der)
        if answer[0] != "certificate":
            raise LineTrouble(answer[1], hint=answer[2])
        certificate = x509.load_der_x509_certificate(answer[1])
        if certificate.public_key() != public_key:
            raise LineTrouble(f"the certificate of {thing} does not match its key", hint="start the station again")
        return certificate, self._issuers()

    def _claim_mac(self, mac: str) -> str | None:
        port: str | None = self._ask("mac", mac)[0]
        return port

    def _ask(self, *question: Any) -> Any:
        self._line.send(question)
        return self._line.recv()

    def _tell(self, status: PortStatus) -> None:
        phase, at = self._reported
        now = time.monotonic()
        if status.phase is phase and now - at < _REPORTED:
            return
        self._reported = (status.phase, now)
        self._send(status, "status")

    def _send(self, status: PortStatus, kind: str) -> None:
        self._line.send((kind, status))
