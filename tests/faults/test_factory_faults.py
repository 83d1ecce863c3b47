"""Pull any plug at any time, start again: every board one identity, every identity one board, and the books in order.

A short slice of what campaign/factory_faults.py sweeps with many seeds.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rootlet.board import flasher, partitions
from rootlet.board.chip import Chip
from rootlet.errors import RootletError
from rootlet.factory.content import prove
from rootlet.factory.labels import Printer, Size, Template
from rootlet.factory.ledger import Ledger
from rootlet.factory.schema import State, Step
from rootlet.factory.station import Phase, PortStatus
from rootlet.pki import keys
from rootlet.pki.identity import DeviceIdentity
from support.download_mode import DownloadMode
from support.factory_line import BATCH, FactoryLine, mac, unlocked


class Killed(BaseException):
    """The station's process ends here: nothing catches this, as nothing catches kill -9."""


class MortalLedger(Ledger):
    """Dies just before or just after the ``at``-th time that something is written."""

    def __init__(self, *arguments: Any, at: int, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._left = at

    def _mortal(self, write: Callable[[], Any]) -> Any:
        self._pulse()
        result = write()
        self._pulse()
        return result

    def _pulse(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1

    def assign(self, *arguments: Any, **more: Any) -> Any:
        return self._mortal(lambda: super(MortalLedger, self).assign(*arguments, **more))

    def begin(self, *arguments: Any, **more: Any) -> Any:
        return self._mortal(lambda: super(MortalLedger, self).begin(*arguments, **more))

    def finish(self, *arguments: Any, **more: Any) -> Any:
        return self._mortal(lambda: super(MortalLedger, self).finish(*arguments, **more))


def died_before_or_after(line: FactoryLine, board: DownloadMode, at: int) -> bool:
    """Run a board through a station that dies at a point; whether it came so far."""
    try:
        line.make(board, ledger=MortalLedger(line.database, station="mortal", at=at))
    except Killed:
        return True
    return False


STEPS = ("issue", "burn", "prove", "queue", "label")
POINTS = [1, *range(3, 22, 4), *range(4, 22, 4), *range(5, 22, 4)]
"""Of all points before and after a write, those that differ: assigned; of each step begun, acted, written as done."""


def test_a_station_killed_at_each_step_is_finished_by_the_next(line: FactoryLine) -> None:
    line.open(30)
    boards = dict(zip(POINTS, line.plug(len(POINTS)), strict=True))

    def killed_at(point: int) -> tuple[bool, Phase | Step]:
        died = died_before_or_after(line, boards[point], point)
        return died, line.make(boards[point]).phase

    assert len(POINTS) == 1 + 3 * len(STEPS)
    with ThreadPoolExecutor(2) as pool:
        ends = dict(zip(POINTS, pool.map(killed_at, POINTS), strict=True))
    last = max(POINTS)
    assert ends == {point: (True, Phase.ALREADY if point == last else Phase.DONE) for point in POINTS}
    line.invariants()
    assert line.ledger.status(BATCH) == {State.WAITING: len(POINTS), State.OPEN: 30 - len(POINTS)}  # none was lost


def test_eight_boards_survive_a_real_kill_in_the_middle_of_writing(line: FactoryLine) -> None:
    line.open(8)
    boards = line.plug(8)
    process = line.start()
    left = 67  # operations on the boards' flashes

    def count(board: DownloadMode) -> Callable[[], None]:
        before = board.memory._count

        def counted() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                process.send_signal(signal.SIGKILL)
            before()

        return counted

    for board in boards:
        board.memory._count = count(board)  # type: ignore[method-assign]
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    told = line.run()
    assert told["code"] == 0, told["stderr"]
    assert line.count(State.WAITING) == 8
    line.invariants()


@pytest.mark.parametrize("operations", [0, 2, 4])
def test_a_board_unplugged_while_it_is_written_is_finished_when_it_comes_back(line: FactoryLine, operations: int) -> None:
    line.open(1)
    (board,) = line.plug(1)
    board.faults.drop_after = operations
    assert line.make(board).phase is Phase.FAILED
    assert line.make(board).phase is Phase.DONE
    line.invariants()


def test_two_boards_with_one_mac_address_never_share_an_identity(line: FactoryLine) -> None:
    line.open(3)
    first, second = line.plug_one(mac(1)), line.plug_one(mac(1))
    assert line.make(first).phase is Phase.DONE
    refused = line.make(second)
    assert refused.phase is Phase.REFUSED
    assert "two boards have the same MAC address" in refused.hint
    assert line.identity_on(second) is None
    assert line.make(first).phase is Phase.ALREADY
    assert line.count(State.OPEN) == 2
    line.invariants()


def test_two_boards_with_one_mac_address_side_by_side_get_one_identity_between_them(line: FactoryLine) -> None:
    line.open(3)
    line.plug_one(mac(1))
    line.plug_one(mac(1))
    told = line.run()
    assert told["ended"] == {"done": 1, "set aside": 1}, told["stderr"]
    assert line.count(State.OPEN) == 2
    line.invariants()


def test_boards_of_another_batch_copies_and_strangers_are_set_aside_untouched(line: FactoryLine, golden: bytes) -> None:
    line.open(2)
    line.open(1, batch="tuesday", prefix="other")
    (ours,) = line.plug(1)
    assert line.run(batch="tuesday")["ended"] == {"done": 1}
    copy = line.plug_one(mac(7), flash=ours.flash)
    foreign = flasher.with_identity(golden, unlocked(line.ca).issue("stranger"))
    stranger = line.plug_one(mac(8), flash=foreign)
    before = [board.flash for board in line.boards]
    told = line.run()
    assert told["ended"] == {"set aside": 3}, told["stderr"]
    whats = " ".join(trouble["what"] for trouble in told["troubles"])
    assert "is other-0 of another batch" in whats
    assert "has the identity of other-0, which belongs to the board " + mac(1) in whats
    assert "not in this ledger" in whats
    assert [board.flash for board in line.boards] == before
    assert line.count(State.OPEN) == 2
    line.boards.remove(copy)
    line.boards.remove(stranger)
    line.invariants()
    line.invariants("tuesday")


def test_the_wrong_chip_is_set_aside_untouched_and_its_image_is_the_engineer_s_setting(line: FactoryLine) -> None:
    line.open(1)
    board = line.plug_one(mac(1), chip="esp32s3")
    before = board.flash
    status = line.make(board)
    assert status.phase is Phase.REFUSED
    assert "is an ESP32-S3; the image is for esp32" in status.what
    assert "choose the image" not in status.hint and "set in rootlet factory run" in status.hint
    assert board.flash == before
    assert line.count(State.OPEN) == 1


@pytest.mark.parametrize("fault", ["flip_on_write", "flip_on_read"])
def test_what_reads_back_differently_is_not_proved(line: FactoryLine, golden: bytes, fault: str) -> None:
    line.open(1)
    (board,) = line.plug(1)
    place = partitions.find(partitions.decode(golden[0x8000:0x8C00]), partitions.SECURE_CERT)
    setattr(board.faults, fault, place.offset + 300)
    status = line.make(board)
    assert status.phase is Phase.FAILED
    assert line.ledger.record("thing-0").state is State.ISSUED
    assert line.ledger.record("thing-0").trouble
    setattr(board.faults, fault, None)
    assert line.make(board).phase is Phase.DONE
    line.invariants()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a disk that is small")
def test_a_full_disk_stops_the_books_before_the_boards_and_room_lets_them_go_on(
    tmp_path: Path, ca: Path, golden: bytes
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "rootlet-test", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount: nothing was shown about a full disk")
    try:
        with FactoryLine(tmp_path, ca, None, golden, where=str(disk / "factory.db")) as line:
            line.open(8)
            line.plug(2)
            ballast = disk / "ballast"
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
                while stream.write(b"\0" * 4096):
                    pass
            told = line.run("--patience", "1")
            assert told["ended"] == {"failed": 2}
            assert "full" in told["stderr"]
            ballast.unlink()
            assert line.run()["ended"] == {"done": 2}
            line.invariants()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_label_that_does_not_come_out_keeps_the_board_until_it_does(line: FactoryLine, tmp_path: Path) -> None:
    line.open(1)
    (board,) = line.plug(1)
    failed = line.make(board, label=Printer("/dev/full", "zpl", Template(), "Tests", Size()))
    assert failed.phase is Phase.FAILED
    assert "No space left" in failed.what
    assert line.ledger.record("thing-0").state is State.QUEUED
    done = line.make(board, label=Printer(str(tmp_path / "labels"), "zpl", Template(), "Tests", Size()))
    assert done.phase is Phase.DONE
    assert (tmp_path / "labels" / "thing-0.zpl").exists()
    line.invariants()


def test_the_status_of_a_port_never_holds_a_key(line: FactoryLine) -> None:
    line.open(1)
    (board,) = line.plug(1)
    heard: list[PortStatus] = []
    assert line.make(board, tell=heard.append).phase is Phase.DONE
    identity = line.identity_on(board)
    assert identity is not None
    assert [status.phase for status in heard] == ["identify", "assign", "issue", "burn", "prove", "queue", "label"]
    assert keys.pem(identity.key).decode().splitlines()[1] not in repr(heard)


def test_a_silent_board_holds_up_no_other(line: FactoryLine) -> None:
    line.open(3)
    boards = line.plug(3)
    boards[0].faults.silent = True
    told = line.run()
    assert told["ended"] == {"done": 2, "failed": 1}
    assert "no answer" in told["troubles"][0]["what"]
    assert told["code"] == 1
    line.invariants()


def test_the_proof_sees_another_certificate_and_a_key_that_is_not_its_own(line: FactoryLine, golden: bytes) -> None:
    authority = unlocked(line.ca)
    ours, other = authority.issue("ours"), authority.issue("ours")
    mixed = DeviceIdentity("ours", ours.certificate, other.key, ours.issuers)
    for identity, told in (
        (ours, None),
        (other, "certificate of ours that is not the ledger's"),
        (mixed, "is not the certificate's"),
    ):
        board = line.plug_one(mac(1), flash=flasher.with_identity(golden, identity))
        with Chip(board.port) as chip:
            if told is None:
                prove(chip, ours.certificate)
                continue
            with pytest.raises(RootletError, match=told):
                prove(chip, ours.certificate)


def test_credentials_that_cannot_be_read_are_neither_taken_for_none_nor_written_over(
    line: FactoryLine, golden: bytes
) -> None:
    line.open(2)
    (board,) = line.plug(1)
    assert line.make(board).phase is Phase.DONE
    place = partitions.find(partitions.decode(golden[0x8000:0x8C00]), partitions.SECURE_CERT)
    board.faults.flip_on_read = place.offset + 100
    status = line.make(board)
    assert (status.phase, "cannot be read" in status.what, "scrap" in status.hint) == (Phase.REFUSED, True, False)
    board.faults.flip_on_read = None
    assert line.make(board).phase is Phase.ALREADY
    other = golden[: place.offset] + b"somebody's own format" + golden[place.offset + 21 :]
    stranger = line.plug_one(mac(2), flash=other)
    assert line.make(stranger).phase is Phase.REFUSED
    assert stranger.flash == other
    assert line.count(State.OPEN) == 1
