"""A line for the tests: a batch in a ledger, mock boards, and the real command that runs the station."""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from rootlet.board import image, partitions, secure_cert
from rootlet.board.definition import load_board
from rootlet.factory import receipts, views
from rootlet.factory.books import verify_books
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, NewIdentity, RegistrationMode
from rootlet.factory.schema import AFTER_PROOF, State
from rootlet.factory.signing import check_ca
from rootlet.factory.station import PortStatus, Station, Tools
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.trust.roots import load_manifest

from support.download_mode import DownloadMode

PASSPHRASE = "correct horse battery staple"
BATCH = "monday"


def mac(number: int) -> str:
    return f"24:0a:c4:00:{number >> 8:02x}:{number & 255:02x}"


@functools.cache
def unlocked(ca: Path) -> Authority:
    """Once: a passphrase is meant to take a while."""
    return Authority.load(ca, PASSPHRASE.encode())


@dataclass
class FactoryLine:
    """Boards, a ledger and a CA in ``directory``; ``golden`` is the image, or None where the boards carry it."""

    directory: Path
    ca: Path
    golden: bytes | None
    on_boards: bytes
    registration: RegistrationMode = RegistrationMode.DEFERRED
    policy: str | None = None
    board: str = "esp32_generic"
    details: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    boards: list[DownloadMode] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.where = self.where or str(self.directory / "factory.db")
        if self.golden is not None:
            (self.directory / "golden.bin").write_bytes(self.golden)
        self._stack = ExitStack()
        self.database = Database(self.where)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.database.close()
        self._stack.close()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.database, station="tests", receipts=receipts.default_directory())

    def open(self, count: int, batch: str = BATCH, prefix: str = "thing") -> None:
        plan = BatchPlan(
            board=self.board,
            customer="Tests",
            ca_sha256=check_ca(self.ca).sha256,
            ca=str(self.ca),
            registration=self.registration,
            policy=self.policy,
            **self.details,
        )
        self.ledger.open_batch(batch, [NewIdentity(f"{prefix}-{n}", {}, f"SN{n}") for n in range(count)], plan)

    def plug(self, count: int, first: int = 1) -> list[DownloadMode]:
        """Fresh boards, each with a MAC address of its own."""
        return [self.plug_one(mac(number)) for number in range(first, first + count)]

    def plug_one(
        self, address: str, *, flash: bytes | None = None, chip: str | None = None, port: str | None = None
    ) -> DownloadMode:
        """A board; on ``port``, that of one that was unplugged, or on a new one."""
        listen = urlsplit(port).port or 0 if port else 0
        board = self._stack.enter_context(
            DownloadMode(chip or load_board(self.board).chip, flash=flash or self.on_boards, mac=address, listen=listen)
        )
        self.boards.append(board)
        return board

    def tools(self, **instead: Any) -> Tools:
        """What a station in this process works with: the CA at hand, no AWS, no printer."""
        authority = unlocked(self.ca)
        made = Tools(
            ledger=self.ledger,
            plan=self.ledger.plan(BATCH),
            batch=BATCH,
            chip=load_board(self.board).chip,
            image=None,
            baud=460_800,
            certify=lambda thing, _serial, key: (authority.certify(thing, key), authority.chain),
            claim_mac=lambda _: None,
            register=None,
            connect=None,
            label=lambda _: None,
            keep_key=None,
            tell=lambda _: None,
            protection=None,
        )
        return replace(made, **instead)

    def make(self, board: DownloadMode, **tools: Any) -> PortStatus:
        """Take a board through a station in this process, where a process of its own would show no more."""
        return Station(board.port, self.tools(**tools)).run()

    def command(self, *more: str, ports: Sequence[str] | None = None, batch: str = BATCH) -> list[str]:
        arguments = ["factory", "run", batch, "--once", "--json", "--ledger", self.where]
        if self.golden is not None:
            arguments += ["--image", str(self.directory / "golden.bin"), "--bare"]
        for port in [board.port for board in self.boards] if ports is None else ports:
            arguments += ["--port", port]
        return [sys.executable, "-m", "rootlet.cli.main", *arguments, *more]

    def variables(self) -> dict[str, str]:
        return {**os.environ, "ROOTLET_CA_PASSPHRASE": PASSPHRASE, **self.environment}

    def start(
        self, *more: str, ports: Sequence[str] | None = None, batch: str = BATCH, once: bool = True
    ) -> subprocess.Popen[str]:
        command = self.command(*more, ports=ports, batch=batch)
        return subprocess.Popen(
            [part for part in command if once or part != "--once"],
            cwd=self.directory,
            env=self.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *more: str, ports: Sequence[str] | None = None, batch: str = BATCH) -> dict[str, Any]:
        """What the station says at its end, and ``stderr`` beside it."""
        process = self.start(*more, ports=ports, batch=batch)
        stdout, stderr = process.communicate(timeout=100)
        assert stdout, stderr
        return {**json.loads(stdout), "stderr": stderr, "code": process.returncode}

    @staticmethod
    def wait_for(event: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not event():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def identity_on(self, board: DownloadMode) -> DeviceIdentity | None:
        """What the board's flash holds."""
        flash = board.flash
        try:
            table = partitions.decode(flash[0x8000 : 0x8000 + partitions.TABLE_SIZE])
            place = partitions.find(table, partitions.SECURE_CERT)
            return secure_cert.to_identity(flash[place.offset : place.offset + place.size])
        except Exception:
            return None

    def invariants(self, batch: str = BATCH, active: Mapping[str, str] | None = None) -> None:
        """One board one identity; nothing active in AWS without a proved board; books in order; nothing burned unentered."""
        assert verify_books(self.database).findings == []
        lines = list(views.lines(self.database, batch))
        with_mac = [line.mac for line in lines if line.mac]
        assert len(with_mac) == len(set(with_mac))
        carried: dict[str, list[DownloadMode]] = {}
        for board in self.boards:
            identity = self.identity_on(board)
            if identity is not None:
                carried.setdefault(identity.certificate_id, []).append(board)
        for certificate_id in carried:
            # Every certificate on any board was entered before it was burned.
            assert views.by_certificate(self.database, certificate_id) is not None
        for line in lines:
            if line.state in AFTER_PROOF:
                assert line.certificate_id is not None
                assert len(carried.get(line.certificate_id, [])) == 1, line
        for certificate_id, status in (active or {}).items():
            owner = views.by_certificate(self.database, certificate_id)
            if owner is not None and status == "ACTIVE":
                assert owner.certificate_id == certificate_id
                assert owner.state in AFTER_PROOF

    def count(self, state: State, batch: str = BATCH) -> int:
        return self.ledger.status(batch).get(state, 0)

    def all_are(self, state: State, batch: str = BATCH) -> bool:
        return all(line.state is state for line in views.lines(self.database, batch))


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA whose passphrase is PASSPHRASE."""
    directory = tmp_path_factory.mktemp("factory-pki") / "fleet-ca"
    Authority.create(directory, PASSPHRASE.encode(), name="Line CA", subject=Subject(organization="Tests"))
    return directory


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("application") / "blink.py"
    source.write_text("print('application runs')\n")
    config = {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com"}
    board = load_board("esp32_generic")
    return image.build(board, config, source, load_manifest().defaults(), built=1_790_000_000).flash


@pytest.fixture
def line(tmp_path: Path, ca: Path, golden: bytes) -> Iterator[FactoryLine]:
    """A line whose boards carry the golden image already."""
    with FactoryLine(tmp_path, ca, None, golden) as made:
        yield made
