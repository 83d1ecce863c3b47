"""A sandbox in a process of its own, for the tests and for whoever needs one from Python."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from rootlet.errors import RootletError
from rootlet.extras import require
from rootlet.processes import PARENT
from rootlet.sandbox.running import Facts
from rootlet.sandbox.server import SandboxSettings


class Sandbox:
    """Starts on entering the context, and is gone, process and keys, on leaving it."""

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self._settings = settings or SandboxSettings()
        self._process: subprocess.Popen[bytes] | None = None
        self._facts: Facts | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def facts(self) -> Facts:
        """Where it serves, and what to trust."""
        if self._facts is None:
            raise RootletError("the sandbox is not running", hint="call start(), or enter it as a context")
        return self._facts

    @property
    def root_pem(self) -> Path:
        return Path(self.facts.root)

    def start(self) -> None:
        """Start it and return once it serves. Raises RootletError with its last words where it does not."""
        require("sandbox", "the sandbox")
        read_end, write_end = os.pipe()
        settings = asdict(self._settings) | {"ready_fd": write_end}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rootlet.sandbox.server", json.dumps(settings)],
            env=os.environ | {PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[write_end],
            # A terminal's Ctrl-C is for the command that owns the sandbox; it then stops the sandbox.
            start_new_session=True,
        )
        os.close(write_end)
        with os.fdopen(read_end) as stream:
            announced = stream.read()  # ends when it is ready, or dead
        if not announced:
            self._process.wait()
            raise RootletError(f"the sandbox did not start: {self.log()[-800:]}", hint="see its last lines")
        self._facts = Facts(**json.loads(announced))

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = self._facts = None

    def log(self) -> str:
        """What it printed so far: refusals of devices, for example."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()
