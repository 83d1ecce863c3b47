"""A sandbox in a process of its own, for use from Python."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3

from rootlet.errors import RootletError
from rootlet.extras import require
from rootlet.processes import PARENT
from rootlet.sandbox.running import Facts
from rootlet.sandbox.server import LOOPBACK, SandboxSettings

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


class Sandbox:
    """A sandbox that starts on entering the context. Leaving it removes the process, its keys and its state."""

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
        """The sandbox's addresses, and the root to trust."""
        if self._facts is None:
            raise RootletError("the sandbox is not running", hint="call start(), or enter it as a context")
        return self._facts

    @property
    def root_pem(self) -> Path:
        return Path(self.facts.root)

    @property
    def config(self) -> dict[str, Any]:
        """The settings of a device's config.json that select this sandbox."""
        return {"endpoint": self.facts.endpoint, "port": self.facts.mqtt_port}

    @property
    def resolve(self) -> dict[str, str]:
        """The DNS of a virtual board that connects to this sandbox: host name to address."""
        return {self.facts.endpoint: LOOPBACK}

    def iot(self) -> "IoTClient":
        """A control plane client of this sandbox. The process's own AWS settings are neither used nor changed."""
        given = self.facts.environment
        session = boto3.Session(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], region_name=self.facts.region)
        return session.client("iot", endpoint_url=self.facts.api_url)

    def start(self) -> None:
        """Start the sandbox, and return once it serves. Raises RootletError, with its log, where it does not start."""
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
            # Ctrl-C is for the command that owns the sandbox, which then stops the sandbox.
            start_new_session=True,
        )
        os.close(write_end)
        with os.fdopen(read_end) as stream:
            announced = stream.read()  # ends when the sandbox is ready, or has ended
        if not announced:
            self._process.wait()
            what = f"the sandbox did not start: {self.log()[-800:]}"
            raise RootletError(what, hint="read the end of the log; a port may be in use")
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
        """The output of the sandbox so far, with its refusals of devices."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()
