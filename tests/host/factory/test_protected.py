"""Boards with flash encryption and secure boot through the station, on mocks and espefuse's virtual eFuses."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import espsecure
import pytest
from click.testing import CliRunner
from rootlet.board import efuses, image, images, partitions, sealing, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.definition import load_board
from rootlet.board.efuses import BurnStep, Feature, Fuses
from rootlet.cli.board.info import command as info
from rootlet.cli.factory.group import command
from rootlet.errors import BadInput, RootletError
from rootlet.factory import protection, views
from rootlet.factory.books import verify_books
from rootlet.factory.ledger import Ledger
from rootlet.factory.protection import Protection
from rootlet.factory.schema import State, Step
from rootlet.factory.station import Phase, PortStatus
from rootlet.trust.roots import load_manifest
from support import own_build
from support.download_mode import DownloadMode
from support.factory_line import BATCH, FactoryLine, mac

BOARDS = {"esp32": "esp32_generic", "esp32c3": "esp32_generic_c3"}
BOTH: tuple[Feature, ...] = ("flash-encryption", "secure-boot")
ENCRYPTION: tuple[Feature, ...] = ("flash-encryption",)
CONFIG = {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com"}
APPLICATION = Path(__file__).parents[2] / "apps" / "hangs.py"
ERASED = b"\xff" * (4 << 20)


class ProtectedLine(FactoryLine):
    """A line whose station runs in this process, on virtual eFuses beside each board."""

    def protected(self) -> Protection:
        plan, golden = self.ledger.plan(BATCH), self.image
        signing_key = self.directory / "signing.pem" if "secure-boot" in plan.protect else None
        virtual = self.directory / "efuses"
        setup = protection.prepare(plan, golden.chip, golden, signing_key, own_build=True, virtual=virtual)
        assert setup is not None
        return Protection(setup, self.fuses)

    @property
    def image(self) -> images.ImageFile:
        return images.load(self.directory / "golden.bin", bare=True)

    @contextlib.contextmanager
    def fuses(self, chip: Chip) -> Iterator[Fuses]:
        (board,) = (one for one in self.boards if one.port == chip.port)
        with efuses.rehearsal(self.efuses_of(chip.mac), chip.name) as fuses:
            yield fuses
            # What the chip's own registers say from its next start on.
            board.encrypts = fuses.is_done(efuses.plan(chip.name, ENCRYPTION).steps[-1])

    def efuses_of(self, address: str) -> Path:
        (self.directory / "efuses").mkdir(exist_ok=True)
        return self.directory / "efuses" / f"{address.replace(':', '')}.bin"

    def burned(self, address: str, chip: str, features: tuple[Feature, ...]) -> list[str]:
        """The eFuses of a plan that a board has burned, in order."""
        with efuses.rehearsal(self.efuses_of(address), chip) as fuses:
            return [step.target for step in efuses.plan(chip, features).steps if fuses.is_done(step)]

    def visit(self, board: DownloadMode, **tools: Any) -> PortStatus:
        return self.make(board, image=self.image, protection=self.protected(), **tools)

    def in_order(self) -> None:
        assert verify_books(self.database).findings == []


@pytest.fixture
def encrypting(tmp_path: Path, ca: Path, golden: bytes) -> Iterator[ProtectedLine]:
    """A line of ESP32s with flash encryption; the image has no MicroPython, so that there is little to write."""
    details = {"protect": ENCRYPTION}
    with ProtectedLine(tmp_path, ca, golden, ERASED, details=details) as line:
        line.open(12)
        yield line


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that the station makes, which a test may know and nobody else does."""
    made, new_key = list[bytes](), sealing.new_key

    def kept() -> bytes:
        made.append(new_key())
        return made[-1]

    monkeypatch.setattr(sealing, "new_key", kept)
    return made


def place_in(golden: bytes) -> partitions.Partition:
    return partitions.find(partitions.decode(golden[0x8000:0x8C00]), partitions.SECURE_CERT)


def as_the_chip_reads(flash: bytes, golden: bytes, chip: str, key: bytes) -> bytes:
    """A board's flash, decrypted: bootloader, partition table, credentials, and the application with its signature."""
    start = 0x1000 if chip == "esp32" else 0
    plain = bytearray(flash)
    for offset, end in (start, 0x8000), (0x8000, 0x9000), (0xD000, 0xF000), (0x10000, 0x200000):
        used = len(golden[offset:end].rstrip(b"\xff")) if offset in (start, 0x10000) else end - offset
        size, output = -(-used // 4096) * 4096, io.BytesIO()
        data = io.BytesIO(flash[offset : offset + size])
        espsecure.decrypt_flash_data(io.BytesIO(key), output, offset, 0xF, chip != "esp32", data)
        plain[offset : offset + size] = output.getvalue()
    return bytes(plain)


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path, ca: Path) -> Iterator[ProtectedLine]:
    """A line of chips with flash encryption and secure boot, and the image of a build of one's own."""
    chip = request.param
    micropython = own_build.own_build(chip)
    (tmp_path / "signing.pem").write_bytes(own_build.private_pem())  # the private half may be given, too
    roots = load_manifest().defaults()
    golden = image.build(load_board(BOARDS[chip]), CONFIG, APPLICATION, roots, micropython_bin=micropython).flash
    details = {"protect": BOTH, "signing_digest": efuses.signing_digest(own_build.public_pem()).hex()}
    with ProtectedLine(tmp_path, ca, golden, ERASED, board=BOARDS[chip], details=details) as line:
        line.open(3)
        yield line


@pytest.mark.parametrize("own", ["esp32c3"], indirect=True)
def test_the_station_encrypts_each_board_burns_its_efuses_and_proves_it(own: ProtectedLine) -> None:
    assert own.golden is not None
    boards = own.plug(2)
    chip, place = boards[0].chip, place_in(own.golden)
    options = ["--signing-key", "signing.pem", "--virtual-efuses", "efuses"]
    told = own.run(*options)
    assert told["ended"] == {"done": 2}, told["stderr"]
    history = views.past(own.database, "thing-0")
    assert [entry["step"] for entry in history if entry["phase"] == "done"] == [
        *("open", "assign", "issue", "image", "burn", "protect", "prove", "queue", "label")
    ]
    planned = [step.target for step in efuses.plan(chip, BOTH).steps]
    assert [entry["detail"] for entry in history if (entry["step"], entry["phase"]) == ("protect", "begin")] == [
        {"efuses": planned, "virtual": True}
    ]
    for number, board in enumerate(boards, 1):
        assert own.burned(mac(number), chip, BOTH) == planned
        # Nothing that a chip decrypts is readable, and what it does not decrypt is as it was.
        assert own_build.MARK in own.golden and own_build.MARK not in board.flash
        assert b"thing-" not in board.flash and not board.flash[place.offset :].startswith(secure_cert.MAGIC_BYTES)
        assert board.flash[0x200000:] == own.golden[0x200000:]
    for at in (0x10000, place.offset):  # each has a key of its own
        assert boards[0].flash[at : at + 64] != boards[1].flash[at : at + 64]
    # With encryption on they are recognised when they come again, and nothing is written.
    for board in boards:
        before, board.encrypts = board.flash, True
        assert own.visit(board).phase is Phase.ALREADY
        assert board.flash == before
    own.in_order()


@pytest.mark.parametrize("own", ["esp32"], indirect=True)
def test_decrypted_by_its_key_a_board_is_the_golden_image_with_its_identity(own: ProtectedLine, keys: list[bytes]) -> None:
    assert own.golden is not None
    (board,) = own.plug(1)
    assert own.visit(board).phase is Phase.DONE
    plain, place = as_the_chip_reads(board.flash, own.golden, "esp32", keys[0]), place_in(own.golden)
    identity = secure_cert.to_identity(plain[place.offset : place.end])
    assert identity.certificate_id == own.ledger.record("thing-0").certificate_id
    assert plain[: place.offset] + own.golden[place.offset : place.end] + plain[place.end :] == own.golden
    # The key is in the board's eFuses only: in no file, and not in the ledger.
    files = [path for path in own.directory.rglob("*") if path.is_file() and "efuses" not in path.parts]
    written = b"".join(path.read_bytes() for path in files)
    assert b"thing-0" in written and keys[0] not in written and keys[0].hex().encode() not in written


class Killed(BaseException):
    """The station's process ends here."""


class MortalLedger(Ledger):
    """Dies at one write: just before it, or just after."""

    def __init__(self, line: FactoryLine, phase: str, step: Step, *, after: bool) -> None:
        super().__init__(line.database, station="mortal")
        self._at, self._after = (phase, step), after

    def _write(self, phase: str, step: Step, write: Callable[[], Any]) -> Any:
        if (phase, step) != self._at:
            return write()
        if self._after:
            write()
        raise Killed

    def begin(self, record: Any, step: Step, *more: Any) -> Any:
        return self._write("begin", step, lambda: super(MortalLedger, self).begin(record, step, *more))

    def finish(self, record: Any, step: Step, **more: Any) -> Any:
        return self._write("finish", step, lambda: super(MortalLedger, self).finish(record, step, **more))


CUTS = [
    ("finish", Step.IMAGE, True),
    ("finish", Step.BURN, False),
    ("begin", Step.PROTECT, True),
    ("finish", Step.PROTECT, False),
    ("finish", Step.PROVE, False),
]


def test_a_station_killed_at_any_step_is_finished_by_the_next(encrypting: ProtectedLine) -> None:
    for number, (phase, step, after) in enumerate(CUTS, 1):
        (board,) = encrypting.plug(1, first=number)
        with pytest.raises(Killed):
            encrypting.visit(board, ledger=MortalLedger(encrypting, phase, step, after=after))
        burned = step is Step.PROVE or (step is Step.PROTECT and phase == "finish")
        flash = board.flash
        done = encrypting.visit(board)
        assert (done.phase, done.thing) == (Phase.DONE, f"thing-{number - 1}"), (phase, step, after, done)
        if burned:  # its key is nowhere but in its eFuses: what was written stays
            assert board.flash == flash
        issued = encrypting.ledger.certificates(done.thing)
        assert len(issued) == (1 if burned else 2)
        assert encrypting.burned(mac(number), "esp32", ENCRYPTION)[-1] == "FLASH_CRYPT_CNT"
    encrypting.in_order()


def test_a_board_pulled_out_between_two_efuses_is_finished_without_its_key(
    encrypting: ProtectedLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Fuses.burn
    for number, cut in enumerate((0, 1, 6), 1):
        burned: list[str] = []

        def interrupted(fuses: Fuses, step: BurnStep, key: bytes | None, cut: int = cut, done: list[str] = burned) -> None:
            if len(done) == cut:
                raise RootletError("pulled out")
            plain(fuses, step, key)
            done.append(step.target)

        (board,) = encrypting.plug(1, first=number)
        monkeypatch.setattr(Fuses, "burn", interrupted)
        failed = encrypting.visit(board)
        assert failed.phase is Phase.FAILED and failed.what == "pulled out"
        monkeypatch.setattr(Fuses, "burn", plain)
        assert encrypting.burned(mac(number), "esp32", ENCRYPTION) == burned
        flash = board.flash
        assert encrypting.visit(board).phase is Phase.DONE
        assert (board.flash == flash) is (cut > 0)
    encrypting.in_order()


def test_a_chip_whose_key_is_burned_already_is_recognised_and_never_written(
    encrypting: ProtectedLine, golden: bytes
) -> None:
    stranger, other, changed = encrypting.plug(3)
    with efuses.rehearsal(encrypting.efuses_of(mac(1)), "esp32") as fuses:
        fuses.burn(efuses.plan("esp32", ENCRYPTION).steps[0], b"k" * 32)
    told = encrypting.visit(stranger)
    assert told.phase is Phase.REFUSED and "is not in this ledger" in told.what, told
    assert stranger.flash == ERASED
    # One of this ledger, erased or written since.
    assert encrypting.visit(changed).phase is Phase.DONE
    changed.memory.data[:] = golden
    told = encrypting.visit(changed)
    assert told.phase is Phase.REFUSED and "its flash is not what was written" in told.what
    assert changed.flash == golden
    # One that was given up, while it was still unproved.
    with pytest.raises(Killed):
        encrypting.visit(other, ledger=MortalLedger(encrypting, "finish", Step.PROTECT, after=True))
    thing = encrypting.ledger.record("thing-1").thing
    encrypting.ledger.restart(thing)
    flash = other.flash
    told = encrypting.visit(other)
    assert told.phase is Phase.REFUSED and "encrypted with an earlier identity" in told.what, told
    assert other.flash == flash


def test_efuses_on_the_port_are_reached_and_a_board_that_does_not_take_them_fails(encrypting: ProtectedLine) -> None:
    (board,) = encrypting.plug(1)
    told = encrypting.run("--own-build")  # the mock answers as a chip whose eFuses stay as they are
    assert told["ended"] == {"failed": 1}, told["stderr"]
    assert "BLOCK1 was not burned" in told["troubles"][0]["what"] or "read back as burned" in told["troubles"][0]["what"]
    assert encrypting.ledger.record("thing-0").state is State.BURNED
    begun = [entry for entry in views.past(encrypting.database, "thing-0") if entry["step"] == "protect"]
    assert [entry["phase"] for entry in begun] == ["begin", "failed"] and "virtual" not in begun[0]["detail"]
    assert board.connections >= 4  # the station let go of the port for each look at the eFuses


@pytest.mark.parametrize("own", ["esp32c3"], indirect=True)
def test_a_chip_with_another_makers_signing_key_is_set_aside(own: ProtectedLine) -> None:
    (board,) = own.plug(1)
    other = efuses.plan("esp32c3", ("secure-boot",)).steps[0]
    with efuses.rehearsal(own.efuses_of(mac(1)), "esp32c3") as fuses:
        fuses.burn(other, own_build.another_public_pem())
    told = own.visit(board)
    assert told.phase is Phase.REFUSED and "the digest of another signing key" in told.what
    assert board.flash == ERASED


def test_reconcile_says_which_device_an_encrypted_board_is(encrypting: ProtectedLine) -> None:
    mine, stranger = encrypting.plug(2)
    assert encrypting.visit(mine).phase is Phase.DONE and mine.encrypts
    stranger.encrypts = True

    def reconciled(board: DownloadMode) -> Any:
        return CliRunner().invoke(command, ["reconcile", BATCH, "--port", board.port, "--ledger", encrypting.where])

    found = reconciled(mine)
    assert found.exit_code == 0 and "is thing-0" in found.output and "0 disagreements" in found.output, found.output
    found = reconciled(stranger)
    assert isinstance(found.exception, RootletError) and "the ledger has no board" in found.output
    mine.memory.data[0xD000:0xD010] = bytes(16)
    assert "not what the ledger says was written" in reconciled(mine).output


def test_an_encrypted_board_at_a_plain_line_is_named_and_left_alone(line: FactoryLine) -> None:
    line.open(2)
    (board,) = line.plug(1)
    board.encrypts = True
    before = board.flash
    told = line.make(board)
    assert told.phase is Phase.REFUSED and told.mac == mac(1) and "encrypts its flash" in told.what
    assert board.flash == before
    shown = CliRunner().invoke(info, ["--port", board.port])
    assert shown.exit_code == 0 and mac(1) in shown.output and "flash encryption is on" in shown.output, shown.output


def test_the_books_let_no_protected_board_pass_without_its_efuses(encrypting: ProtectedLine) -> None:
    (board,) = encrypting.plug(1)
    with pytest.raises(Killed):
        encrypting.visit(board, ledger=MortalLedger(encrypting, "finish", Step.BURN, after=True))
    record = encrypting.ledger.record("thing-0")
    assert record.state is State.BURNED
    with pytest.raises(RootletError, match="the step prove is not possible"):
        encrypting.ledger.begin(record, Step.PROVE)


@pytest.mark.parametrize("own", ["esp32c3"], indirect=True)
def test_the_station_starts_only_with_an_image_that_would_run(own: ProtectedLine, tmp_path: Path) -> None:
    assert own.golden is not None
    plan, good = own.ledger.plan(BATCH), own.image
    key, other = tmp_path / "signing.pem", tmp_path / "other.pem"
    other.write_bytes(own_build.another_public_pem())

    def prepared(golden: images.ImageFile | None, signing_key: Path | None, *, own_build: bool = False) -> None:
        protection.prepare(plan, "esp32c3", golden, signing_key, own_build=own_build, virtual=None)

    def changed(offset: int, old: bytes) -> images.ImageFile:
        assert own.golden is not None
        flash = bytearray(own.golden)
        flash[offset : offset + len(old)] = bytes(byte ^ 1 for byte in old)
        return images.ImageFile(tmp_path / "x", bytes(flash), "esp32c3", None, good.credentials)

    prepared(good, key)
    for golden, signing_key, told in (
        (None, key, "an image of its own"),
        (good, None, "needs the signing key"),
        (good, other, "is not the signing key that the batch was opened with"),
        (changed(0x11000, own.golden[0x11000:0x11010]), key, "application in factory is not signed"),
        (changed(0x2000, own.golden[0x2000:0x2010]), key, "bootloader is not signed"),
    ):
        with pytest.raises(BadInput, match=told):
            prepared(golden, signing_key)
    place = own.golden.index(own_build.MARK)
    with pytest.raises(BadInput, match="nothing in this image's MicroPython says") as refusal:
        sealing.check_encryption(changed(place, own_build.MARK).data, own_build=False)
    assert "--own-build" in refusal.value.hint
    sealing.check_encryption(changed(place, own_build.MARK).data, own_build=True)


def test_a_protected_batch_is_opened_with_its_signing_key(line: FactoryLine, tmp_path: Path) -> None:
    (tmp_path / "signing.pem").write_bytes(own_build.public_pem())
    options = ["open", "safe", "--count", "2", "--pattern", "safe-#", "--ca", str(line.ca), "--ledger", line.where, "--json"]
    refused = CliRunner().invoke(command, [*options, "--protect", "secure-boot"])
    assert isinstance(refused.exception, BadInput) and "needs the signing key" in refused.exception.what
    protect = ["--protect", "secure-boot", "--protect", "flash-encryption"]
    done = CliRunner().invoke(command, [*options, *protect, "--signing-key", str(tmp_path / "signing.pem")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["details"]["protect"] == ["flash-encryption", "secure-boot"]
    plan = line.ledger.plan("safe")
    assert plan.protect == BOTH and plan.signing_digest == efuses.signing_digest(own_build.public_pem()).hex()
    encrypted = CliRunner().invoke(command, ["run", "safe", "--all-ports", "--ledger", line.where])
    assert isinstance(encrypted.exception, BadInput) and "an image of its own" in encrypted.exception.what
