"""The production line of one station: a process for each port, the signing desk, and the tiles."""

import multiprocessing
import multiprocessing.connection
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from rootlet.errors import RootletError
from rootlet.factory import worker
from rootlet.factory.floor import Floor
from rootlet.factory.schema import Step
from rootlet.factory.signing import SigningDesk
from rootlet.factory.station import Phase, PortStatus
from rootlet.factory.watch import Ports
from rootlet.factory.worker import Setup
from rootlet.pki.certificates import supported_public_key

_SCAN = 1.0  # seconds between two looks for new ports
_AGAIN = 2.0  # seconds before a worker that died is started again
MOST_PORTS = 64


@dataclass
class _Port:
    """A port's process, and the MAC address of the board in it."""

    name: str
    process: BaseProcess
    line: Connection
    mac: str = ""
    finished: bool = False


@dataclass
class Summary:
    """The result of a run: the number of boards by how they ended, and the errors."""

    ended: dict[Phase | Step, int] = field(default_factory=dict)
    troubles: list[tuple[str, PortStatus]] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, *phases: Phase) -> int:
        return sum(self.ended.get(phase, 0) for phase in phases)


class ProductionLine:
    """Runs until ``stop`` is called, or in a ``once`` setup until every port has had its board.

    ``on_status`` gets every status of a port. It must be quick, since the ports' requests wait meanwhile.
    """

    def __init__(
        self,
        setup: Setup,
        ports: Ports,
        desk: SigningDesk,
        floor: Floor,
        *,
        on_status: Callable[[str, PortStatus, bool], None] = lambda *_: None,
    ) -> None:
        self._setup = setup
        self._ports = ports
        self._desk = desk
        self._floor = floor
        self._on_status = on_status
        # The workers are forked from a server that has the modules loaded and holds no secret: a start is cheap.
        self._context: Any = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
        if sys.platform != "win32":
            self._context.set_forkserver_preload([worker.__name__])
        self._stop = self._context.Event()
        self._running: dict[str, _Port] = {}
        self._again_at: dict[str, float] = {}
        self.summary = Summary()

    def stop(self) -> None:
        """Finish the boards in progress, and begin no others."""
        self._stop.set()

    def run(self) -> Summary:
        began, look_at = time.monotonic(), 0.0
        try:
            while True:
                if time.monotonic() >= look_at and not self._stop.is_set():
                    self._start(self._ports.now())
                    look_at = time.monotonic() + _SCAN
                self._listen(min(_SCAN, 0.2))
                self._floor.publish()
                if self._over():
                    break
        finally:
            self._end()
            self.summary.seconds = time.monotonic() - began
        return self.summary

    def _over(self) -> bool:
        alive = [port for port in self._running.values() if not port.finished]
        return not alive and (self._stop.is_set() or (self._setup.once and bool(self._running)))

    def _start(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._running or time.monotonic() < self._again_at.get(name, 0.0):
                continue
            if len(self._running) >= MOST_PORTS:
                return
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=worker.main, args=(self._setup, name, theirs, self._stop), name=name, daemon=True
            )
            process.start()
            theirs.close()
            self._running[name] = _Port(name, process, ours)

    def _listen(self, timeout: float) -> None:
        by_line: dict[Any, _Port] = {port.line: port for port in self._running.values() if not port.finished}
        if not by_line:
            time.sleep(timeout)
            return
        for line in multiprocessing.connection.wait(list(by_line), timeout):
            port = by_line[line]
            try:
                self._hear(port, port.line.recv())
            except (EOFError, OSError):
                self._gone(port)

    def _hear(self, port: _Port, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "certify":
            port.line.send(self._certify(*rest))
        elif kind == "mac":
            port.line.send((self._claim(port, rest[0]),))
        else:
            self._note(port, rest[0], ended=kind == "ended")

    def _certify(self, thing: str, serial: str | None, public_key: bytes) -> tuple[Any, ...]:
        try:
            key = supported_public_key(load_der_public_key(public_key))
            return "certificate", self._desk.certify(thing, serial, key).public_bytes(Encoding.DER)
        except RootletError as error:
            return "refused", error.what, error.hint

    def _claim(self, port: _Port, mac: str) -> str | None:
        """Claim a MAC address for a port: None, or the name of the port that has it already."""
        for other in self._running.values():
            if other is not port and other.mac == mac:
                return other.name
        port.mac = mac
        return None

    def _note(self, port: _Port, status: PortStatus, *, ended: bool) -> None:
        if ended:
            port.mac = ""
            self.summary.ended[status.phase] = self.summary.ended.get(status.phase, 0) + 1
            if status.phase not in (Phase.DONE, Phase.ALREADY):
                self.summary.troubles.append((port.name, status))
        self._floor.note(port.name, status, ended=ended)
        self._on_status(port.name, status, ended)

    def _gone(self, port: _Port) -> None:
        """Handle the end of a worker, regular or not."""
        port.process.join()
        port.line.close()
        port.mac = ""
        if self._stop.is_set() or (self._setup.once and port.process.exitcode == 0):
            port.finished = True
            return
        if port.process.exitcode != 0:
            status = PortStatus(
                Phase.HELD, what="the port's process died", hint="connect the board again: the process restarts by itself"
            )
            self._note(port, status, ended=False)
        del self._running[port.name]
        self._again_at[port.name] = time.monotonic() + _AGAIN

    def _end(self) -> None:
        self._stop.set()
        for port in self._running.values():
            port.process.join(5)
            if port.process.is_alive():
                port.process.kill()
                port.process.join()
        self._floor.clear()
