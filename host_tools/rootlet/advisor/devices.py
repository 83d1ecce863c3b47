"""The devices under test: a virtual board, a command line client, or a device on the network."""

import os
import shlex
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.serialization import Encoding

from rootlet import resources
from rootlet.advisor.chains import HOST, KINDS, Chains
from rootlet.board import filesystem, image, inspect_image, secure_cert
from rootlet.board.definition import load_board
from rootlet.board.partitions import SECURE_CERT, find
from rootlet.emulator import chip_image
from rootlet.emulator.emulated_board import EmulatedBoard
from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard
from rootlet.errors import BadInput
from rootlet.files import write_secret
from rootlet.pki import certificates, keys
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.policies import rendering
from rootlet.trust.roots import load_manifest

THING = "advisor-1"
QUALIFICATION = resources.FIRMWARE / "apps" / "qualification"
"""The application for qualifying leaf: it publishes rarely, so that its keep-alive can be observed."""
QUALIFICATION_CONFIG = {"keep_alive": 30}
PREFIX = "ROOTLET_ADVISOR_"
"""The prefix of the environment variables for a command line client."""


@dataclass(frozen=True)
class Environment:
    """The environment of a device in a case. ``port`` and ``time_port`` are those of endpoint and time server."""

    port: int
    time_port: int
    speed: float = 1
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More settings of a virtual board (emulator/shims), which other devices do not have."""


class DeviceUnderTest(ABC):
    """A device under test. ``lines`` is what it printed since the last start."""

    virtual = False
    """Whether the device's time can be compressed, and its clock and DNS can be set."""
    host: str
    thing: str | None = None
    """The client ID, where it is known before the device connects."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    @abstractmethod
    def description(self) -> str: ...

    @abstractmethod
    def start(self, environment: Environment) -> None:
        """Start the device, as from power-on. Raises RootletError."""

    @abstractmethod
    def stop(self) -> None: ...

    def restart(self, environment: Environment) -> bool:
        """Cut the device's power and restart it with its stored state. False where that is not possible."""
        self.stop()
        self.start(environment)
        return True

    @property
    def alive(self) -> bool:
        """Whether the device still runs, as far as known."""
        return True

    def close(self) -> None:  # noqa: B027 - most leave nothing
        """Remove the device's files from this machine."""


class ImageDevice(DeviceUnderTest):
    """A flash image that an emulator boots. Each start is of a fresh copy; a restart keeps what the device wrote."""

    def __init__(self, flash: bytes, host: str, thing: str, what: str) -> None:
        super().__init__()
        self.host, self.thing, self._what = host, thing, what
        self._flash = flash
        self._config = inspect_image.inspect(flash).json_file("/config.json")
        self._directory = tempfile.TemporaryDirectory(prefix="rootlet-advisor-")
        self._path = Path(self._directory.name, "flash.bin")
        self._board: EmulatedBoard | None = None

    @abstractmethod
    def _emulated(self, environment: Environment) -> EmulatedBoard:
        """The board that boots ``_path``, its network leading to the advisor; not started."""

    def start(self, environment: Environment) -> None:
        write_secret(self._path, self._flash)
        self.lines = []
        self._boot(environment)

    def stop(self) -> None:
        if self._board:
            self._board.stop()
            self._board = None

    def restart(self, environment: Environment) -> bool:
        self.stop()
        self._boot(environment)
        return True

    def close(self) -> None:
        self.stop()
        self._directory.cleanup()

    @property
    def alive(self) -> bool:
        return self._board is not None and not self._board.ended()

    @property
    def _port(self) -> int:
        """Where the image connects to: the network leads from there to the environment."""
        return int(self._config.get("port", 8883))

    def _boot(self, environment: Environment) -> None:
        self._board = self._emulated(environment)
        self._board.start()


class VirtualDevice(ImageDevice):
    """A flash image on the virtual board."""

    virtual = True

    @property
    def description(self) -> str:
        return f"virtual board, {self._what}"

    def _emulated(self, environment: Environment) -> EmulatedBoard:
        extra = {
            "ports": {str(self._port): environment.port, "123": environment.time_port},
            "speed": environment.speed,
            "seed": environment.seed,
            **environment.extra,
        }
        resolve = dict.fromkeys({self.host, *chip_image.time_servers(self._config)}, "127.0.0.1")
        return VirtualBoard(self._path, BoardSettings(resolve=resolve, extra=extra), self.lines.append)


class ChipDevice(ImageDevice):
    """A flash image, its MicroPython included, on an emulated chip: ``emulator`` is where that is installed, if not on PATH.

    Its time cannot be compressed. Raises as ``chip_image.board`` does.
    """

    def __init__(self, flash: bytes, host: str, thing: str, what: str, emulator: Path | None) -> None:
        super().__init__(flash, host, thing, what)
        self._emulator = emulator
        try:
            write_secret(self._path, flash)
            self._emulated(Environment(0, 0))  # refuse before the first case what cannot boot
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        return f"emulated chip, {self._what}"

    def _emulated(self, environment: Environment) -> EmulatedBoard:
        ports = {self._port: environment.port, 123: environment.time_port}
        resolve = {self.host: "127.0.0.1"}
        return chip_image.board(self._path, self._emulator, resolve, ports=ports, on_line=self.lines.append, what=self._what)


def own_policies(application: Path, config: Path | None) -> list[dict[str, Any]]:
    """The policies of ``rootlet cloud register`` for the qualification application; none for another one."""
    if application != QUALIFICATION or config:
        return []
    prefix = "arn:aws:iot:eu-west-1:123456789012"
    return [
        rendering.render(prefix, "leaf", ["reading"]),
        *(rendering.render_service(prefix, name) for name in ("shadow", "jobs")),
    ]


def build_image(application: Path, config: Mapping[str, Any], board: str = "esp32_generic") -> tuple[bytes, str, str]:
    """An image of ``leaf`` with ``application`` and a new identity; its endpoint and thing name."""
    settings = {"endpoint": HOST, **(QUALIFICATION_CONFIG if application == QUALIFICATION else {}), **config}
    made = image.build(load_board(board), settings, application, load_manifest().defaults(), identity=make_identity())
    return made.flash, settings["endpoint"], THING


def open_image(path: Path) -> tuple[bytes, str, str]:
    """A user's image; its endpoint and thing name. A golden image gets an identity. Raises BadInput."""
    flash = inspect_image.read(path)
    found = inspect_image.inspect(flash)
    endpoint = found.json_file("/config.json").get("endpoint")
    if found.vfs is None or not isinstance(endpoint, str):
        raise BadInput(
            f"{path} has no config.json with an endpoint: {found.vfs_problem or 'it is not an image of rootlet'}",
            hint="build one with rootlet image build, or give --app and let the advisor build it",
        )
    if found.identity:
        return flash, endpoint, found.identity.thing
    slot, changed = find(found.partitions, SECURE_CERT), bytearray(flash)
    changed[slot.offset : slot.end] = secure_cert.from_identity(make_identity()).ljust(slot.size, b"\xff")
    return bytes(changed), endpoint, THING


def with_roots(flash: bytes, chains: Chains) -> bytes:
    """The image with the endpoint's two roots added. Nothing else is changed."""
    found = inspect_image.inspect(flash)
    assert found.vfs
    files = dict(found.files)
    for kind in KINDS:
        files[f"/roots/advisor-{kind}.der"] = chains.root(kind).public_bytes(Encoding.DER)
    changed = bytearray(flash)
    changed[found.vfs.offset : found.vfs.end] = filesystem.build(files, found.vfs.size)
    return bytes(changed)


def make_identity(thing: str = THING) -> DeviceIdentity:
    """A new key and certificate, registered nowhere."""
    ca_key, key = keys.generate(), keys.generate()
    ca = certificates.root(Subject(organization="Rootlet Advisor").name("Advisor DeviceUnderTest CA"), ca_key, days=365)
    subject = Subject(organization="Rootlet Advisor").name(thing)
    return DeviceIdentity(thing, certificates.device(subject, key.public_key(), Issuer(ca, ca_key), days=90), key, (ca,))


class CommandDevice(DeviceUnderTest):
    """A client that a command line starts. Placeholders and environment variables give it the endpoint."""

    host = "localhost"
    thing = THING

    def __init__(self, command: str, chains: Chains, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._command, self._on_line = command, on_line
        self._directory = tempfile.TemporaryDirectory(prefix="rootlet-advisor-")
        home = Path(self._directory.name)
        identity = make_identity()
        write_secret(home / "roots.crt", chains.roots_pem)
        write_secret(home / "device.crt", identity.certificate.public_bytes(Encoding.PEM))
        write_secret(home / "device.key", keys.pem(identity.key))
        for kind in KINDS:
            write_secret(home / f"root-{kind}.der", chains.root(kind).public_bytes(Encoding.DER))
        write_secret(home / "device.crt.der", identity.certificate_der())
        write_secret(home / "device.key.der", identity.key_der())
        self._home = home
        self._process: subprocess.Popen[str] | None = None
        try:
            self._arguments(0)
        except (KeyError, IndexError, ValueError) as error:
            raise BadInput(
                f"--exec {command}: {error}",
                hint="use the placeholders {host} {port} {root} {certificate} {key} {client_id}; write {{ for a brace",
            ) from None

    @property
    def description(self) -> str:
        return f"command, {self._command}"

    def start(self, environment: Environment) -> None:
        self.lines = []
        values = {PREFIX + name.upper(): value for name, value in self._values(environment.port).items()}
        try:
            self._process = subprocess.Popen(
                self._arguments(environment.port),
                env={**os.environ, **values, PREFIX + "DIRECTORY": str(self._home)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise BadInput(
                f"cannot start {self._command}: {error.strerror}", hint="check that the program is installed"
            ) from None
        assert self._process.stdout
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._directory.cleanup()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _values(self, port: int) -> dict[str, str]:
        return {
            "host": self.host,
            "port": str(port),
            "root": str(self._home / "roots.crt"),
            "certificate": str(self._home / "device.crt"),
            "key": str(self._home / "device.key"),
            "client_id": THING,
        }

    def _arguments(self, port: int) -> list[str]:
        return [part.format(**self._values(port)) for part in shlex.split(self._command)]

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip())
            if self._on_line:
                self._on_line(line.rstrip())


class NetworkDevice(DeviceUnderTest):
    """A device on the network, which connects by itself."""

    def __init__(self, host: str, on_wait: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.host = host
        self._on_wait = on_wait

    @property
    def description(self) -> str:
        return f"a device on the network, connecting to {self.host}"

    def start(self, environment: Environment) -> None:  # noqa: ARG002 - it has its own power
        self._on_wait()

    def stop(self) -> None:
        return

    def restart(self, environment: Environment) -> bool:  # noqa: ARG002
        return False
