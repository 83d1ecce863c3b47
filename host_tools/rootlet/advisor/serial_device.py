"""A board at a serial port as the device under test."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet.advisor.chains import KINDS, Chains
from rootlet.advisor.devices import DeviceUnderTest, Environment
from rootlet.board import console, redirect
from rootlet.board.repl import Repl
from rootlet.errors import RootletError

CONSOLE_BAUD = 115_200
BOOT = 20
"""Seconds in which a reset board reports its thing name."""

_IDENTITY = re.compile(r"^\d+ identity: thing (.+), certificate ")
_HOPELESS = re.compile(r"^\d+ fault: (config|credentials|key-mismatch): ")

Lines = Callable[[Callable[[], bool]], Iterator[str]]


class SerialDevice(DeviceUnderTest):
    """A board that runs ``leaf``, redirected to the endpoint until close(), and restarted for each case.

    The port's RTS line resets the board, like its button; where it does not, a soft reset at the prompt does, and power cuts
    are not possible. The board's flash is kept from case to case. All methods raise RootletError.
    """

    def __init__(self, port: str, host: str, chains: Chains, baud: int = CONSOLE_BAUD) -> None:
        super().__init__()
        self.host = host
        self._port, self._baud, self._chains = port, baud, chains
        self._sent = False
        self._can_reset = True
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    @property
    def description(self) -> str:
        return f"the board on {self._port}, connecting to {self.host}"

    def start(self, environment: Environment) -> None:
        if not self._sent:
            roots = {f"advisor-{kind}": self._chains.root(kind).public_bytes(Encoding.DER) for kind in KINDS}
            with Repl(self._port, self._baud) as board:
                self._sent = True
                redirect.begin(board, self.host, environment.port, roots)
        self.lines = []
        if not self._reset():
            self._soft_reset()

    def stop(self) -> None:
        """Stop the application, so that the board does not connect.

        A reset after Ctrl-C does not count as a failed boot. Without it, on chips where a reset by RTS is not a power-on,
        leaf would be in its safe mode in the fifth case.
        """
        self._hear_no_more()
        with contextlib.suppress(RootletError):  # where the board is gone, the next start reports it
            Repl(self._port, self._baud).close()

    def restart(self, environment: Environment) -> bool:  # noqa: ARG002 - the endpoint is the same for all cases
        self._hear_no_more()
        return self._reset()

    def close(self) -> None:
        """Undo the redirect: the board connects to its own endpoint, and no longer trusts the advisor's roots."""
        self._hear_no_more()
        if self._sent:
            try:
                with Repl(self._port, self._baud) as board:
                    redirect.end(board)
                    self._sent = False
                    board.restart()
            except RootletError as error:
                hint = f"connect the board, and run rootlet advisor restore --port {self._port}"
                raise RootletError(f"the board may still trust the advisor's roots: {error}", hint=hint) from None

    def _reset(self) -> bool:
        if self._can_reset:
            self._hear(lambda ended: console.lines(self._port, self._baud, reset=True, ended=ended))
            self._can_reset = self._booted()
            if not self._can_reset:
                self._hear_no_more()
        return self._can_reset

    def _soft_reset(self) -> None:
        with contextlib.ExitStack() as stack:
            board = stack.enter_context(Repl(self._port, self._baud))
            board.restart()
            stack.pop_all()

        def lines(ended: Callable[[], bool]) -> Iterator[str]:
            with board:
                yield from board.lines(ended)

        self._hear(lines)
        if not self._booted():
            raise RootletError(
                f"the board on {self._port} does not start leaf within {BOOT} s",
                hint=f"read its log: rootlet monitor --port {self._port}",
            )

    def _hear_no_more(self) -> None:
        if self._thread:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _hear(self, lines: Lines) -> None:
        self._ended.clear()
        heard = self.lines

        def run() -> None:
            with contextlib.suppress(RootletError):  # a port without an RTS line, or a missing port: the caller detects it
                for line in lines(self._ended.is_set):
                    heard.append(line)

        self._from = len(heard)
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def _booted(self) -> bool:
        """Whether the board reports its thing name. Raises RootletError where it reports that it cannot run."""
        assert self._thread
        deadline = time.monotonic() + BOOT
        seen = self._from
        while time.monotonic() < deadline:
            going_on = self._thread.is_alive()
            for line in self.lines[seen:]:
                seen += 1
                if _HOPELESS.match(line):
                    raise RootletError(
                        f"the board on {self._port} cannot run: {line}", hint="read its content: rootlet info"
                    )
                if _IDENTITY.match(line):
                    return True
            if not going_on:
                return False
            time.sleep(0.02)
        return False
