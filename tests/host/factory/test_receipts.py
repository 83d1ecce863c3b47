"""A ledger that was restored from an older copy hands no name out twice: its stations' receipts know what it forgot."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from rootlet.cli.factory.group import command
from rootlet.errors import BadInput, RootletError
from rootlet.factory import high_water, receipts, recovery, views
from rootlet.factory.admission import AlreadyDone, ConnectedBoard
from rootlet.factory.books import verify_books
from rootlet.factory.database import Database, LedgerUnavailable
from rootlet.factory.high_water import OutdatedLedger
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, NewIdentity
from rootlet.factory.schema import State, Step
from rootlet.pki import keys
from support import certificates
from support.factory_line import BATCH, FactoryLine, mac

PLAN = BatchPlan(board="esp32_generic", customer="Tests", ca_sha256="00" * 32)
TO_THE_END = (Step.ISSUE, Step.BURN, Step.PROVE, Step.REGISTER, Step.LABEL)


def copied(path: Path, to: Path) -> None:
    """A copy of a ledger that is in use."""
    with sqlite3.connect(path) as source, sqlite3.connect(to) as target:
        source.backup(target)


class Stations:
    """A ledger that can be copied and brought back, and the stations on it, with one directory of receipts."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "factory.db"
        self.receipts = directory / "receipts"
        self.database = Database(self.path)
        self._copy = directory / "yesterday.db"

    def station(self, name: str = "bench-1") -> Ledger:
        return Ledger(self.database, station=name, receipts=self.receipts)

    def open(self, count: int = 6, batch: str = BATCH) -> None:
        self.station("office").open_batch(batch, [NewIdentity(f"{batch}-{n}") for n in range(count)], PLAN)

    def make(self, number: int, *steps: Step, station: str = "bench-1", batch: str = BATCH) -> str:
        """Take board ``number`` through ``steps``; return its thing."""
        ledger = self.station(station)
        record = ledger.assign(batch, ConnectedBoard(mac(number)))
        assert record is not None
        for step in steps:
            ledger.begin(record, step)
            certificate = certificates.certificate(record.thing, keys.generate()) if step is Step.ISSUE else None
            record = ledger.finish(record, step, certificate=certificate)
        return record.thing

    def copy(self) -> None:
        self._copy.unlink(missing_ok=True)
        copied(self.path, self._copy)

    def restore(self) -> None:
        self.database.close()
        for path in self.path.parent.glob("factory.db*"):
            path.unlink()
        copied(self._copy, self.path)
        self.database = Database(self.path)

    def check(self) -> None:
        high_water.check(self.database, self.receipts)

    def recover(self, *without: str) -> recovery.Recovered:
        found = high_water.look(self.database, self.receipts)
        return recovery.recover(self.station("office"), found, without=without, reason="a test")

    def lines(self) -> list[views.IdentityRow]:
        return list(views.lines(self.database, BATCH))

    def findings(self) -> list[str]:
        return verify_books(self.database).findings + high_water.look(self.database, self.receipts).findings


@pytest.fixture
def stations(tmp_path: Path) -> Iterator[Stations]:
    made = Stations(tmp_path)
    made.open()
    yield made
    made.database.close()


def test_a_ledger_of_yesterday_assigns_nothing(stations: Stations) -> None:
    stations.make(1, *TO_THE_END)
    stations.check()
    stations.copy()
    assert stations.make(2, *TO_THE_END) == "monday-1"
    stations.restore()
    with pytest.raises(OutdatedLedger, match="bench-1 has a receipt: it was restored from an older copy") as refusal:
        stations.check()
    assert "rootlet factory recover" in refusal.value.hint
    # A station that runs already notices as well, and hands out nothing.
    with pytest.raises(OutdatedLedger, match="restored from an older copy"):
        stations.make(3)
    assert [line.state for line in stations.lines()].count(State.OPEN) == 5
    assert [one for one in stations.findings() if "bench-1 has a receipt" in one]


def test_the_newer_ledger_put_back_is_all_it_takes(stations: Stations, tmp_path: Path) -> None:
    stations.copy()
    stations.make(1)
    copied(stations.path, tmp_path / "newest.db")
    stations.restore()
    with pytest.raises(OutdatedLedger):
        stations.check()
    stations._copy = tmp_path / "newest.db"
    stations.restore()
    stations.check()
    assert stations.findings() == []


def test_recovered_every_board_has_its_name_again_and_the_line_goes_on(stations: Stations) -> None:
    stations.make(1, *TO_THE_END)
    stations.make(2, Step.ISSUE)
    stations.copy()
    stations.make(2, Step.ISSUE, Step.BURN, Step.PROVE)
    stations.make(3, *TO_THE_END, station="bench-2")
    stations.make(4, Step.ISSUE, Step.BURN)
    stations.station().restart("monday-3", release=True)
    stations.make(5, Step.ISSUE)  # the name that was released
    before = stations.lines()
    stations.restore()
    done = stations.recover()
    assert done.things == ["monday-1", "monday-2", "monday-3"] and done.conflicts == []
    assert [vars(line) for line in stations.lines()] == [vars(line) for line in before]
    assert stations.findings() == []
    stations.check()
    assert stations.make(6) == "monday-4"
    with pytest.raises(AlreadyDone, match="it is monday-2"):
        stations.station().assign(BATCH, ConnectedBoard(mac(3), before[2].certificate_id))
    # What AWS may trust is still revoked before it is given up, whoever did it.
    assert stations.station().needs_revoking("monday-2")
    assert stations.station().certificates("monday-2") == [before[2].certificate_id]


def test_a_recovered_ledger_still_knows_what_encrypted_boards_hold(stations: Stations) -> None:
    ledger = stations.station()
    record = ledger.assign(BATCH, ConnectedBoard(mac(1)))
    assert record is not None
    ledger.begin(record, Step.ISSUE)
    record = ledger.finish(record, Step.ISSUE, certificate=certificates.certificate(record.thing, keys.generate()))
    stations.copy()
    ledger.begin(record, Step.BURN, {"sealed": {"offset": 0xD000, "size": 0x2000, "md5": "0" * 32}})
    known = ledger.sealed(mac(1))
    stations.restore()
    assert stations.station().sealed(mac(1)) is None
    stations.recover()
    assert known is not None and stations.station().sealed(mac(1)) == known
    assert stations.lines()[0].in_progress == "burn"
    assert stations.findings() == []


def test_a_second_restore_is_noticed_and_recovered_like_the_first(stations: Stations) -> None:
    stations.copy()
    stations.make(1, *TO_THE_END)
    stations.restore()
    stations.recover()
    stations.make(2, *TO_THE_END)
    before = stations.lines()
    stations.restore()
    with pytest.raises(OutdatedLedger):
        stations.check()
    stations.recover()
    assert [vars(line) for line in stations.lines()] == [vars(line) for line in before]
    assert stations.findings() == []
    stations.check()


def test_a_batch_that_was_opened_after_the_copy_is_opened_again_first(stations: Stations) -> None:
    stations.copy()
    stations.open(2, "tuesday")
    stations.make(1, Step.ISSUE, batch="tuesday")
    stations.restore()
    with pytest.raises(BadInput, match="has no tuesday-0: its batch was opened after this copy"):
        stations.recover()
    stations.open(2, "tuesday")
    with pytest.raises(OutdatedLedger):
        stations.make(1, batch="tuesday")
    assert stations.recover().things == ["tuesday-0"]
    assert stations.make(2, batch="tuesday") == "tuesday-1"
    assert stations.findings() == []


def test_a_station_without_receipts_is_asked_for(stations: Stations, tmp_path: Path) -> None:
    stations.make(1)
    stations.make(2, station="bench-2")
    ledger, *_ = {file.ledger for file in receipts.files(stations.receipts)}
    (theirs,) = (file.path for file in receipts.files(stations.receipts, ledger) if file.station == "bench-2")
    theirs.rename(tmp_path / "elsewhere")
    with pytest.raises(OutdatedLedger, match="bench-2 assigned identities") as refusal:
        stations.check()
    assert "--without bench-2" in refusal.value.hint
    with pytest.raises(BadInput, match="bench-1 is not a station without receipts"):
        stations.recover("bench-1")
    stations.recover("bench-2")
    stations.check()


def test_names_given_to_a_second_board_are_told(stations: Stations) -> None:
    stations.copy()
    stations.make(1, *TO_THE_END)
    stations.restore()
    careless = Ledger(stations.database, station="old-version")  # one that knows of no receipts
    careless.assign(BATCH, ConnectedBoard(mac(9)))
    done = stations.recover("old-version")
    assert done.conflicts == [f"monday-0 was given to two boards: {mac(1)}, and later {mac(9)}"]
    assert stations.lines()[0].trouble == done.conflicts[0]
    assert stations.findings() == []


def test_a_new_ledger_in_the_place_of_another_is_noticed(stations: Stations) -> None:
    stations.make(1, *TO_THE_END)
    stations.database.close()
    for path in stations.path.parent.glob("factory.db*"):
        path.unlink()
    stations.database = Database(stations.path)
    stations.open()
    with pytest.raises(OutdatedLedger, match="it was replaced by a new one"):
        stations.check()
    assert stations.recover().things == ["monday-0"]
    stations.check()
    assert stations.make(2) == "monday-1"
    assert stations.findings() == []


def test_receipts_that_somebody_changed_are_not_believed(stations: Stations) -> None:
    stations.make(1)
    (file,) = (file for file in receipts.files(stations.receipts) if file.station == "bench-1")
    whole = file.path.read_bytes()
    for old, new in ((b"monday-0", b"monday-9"), (b'"station":"bench-1"', b'"station":"bench-7"')):
        file.path.write_bytes(whole.replace(old, new))
        with pytest.raises(RootletError, match="damaged, or somebody changed them"):
            stations.check()
    # Without a copy of the file there is a way on, and it is the one that the hint says.
    file.path.rename(file.path.with_suffix(".damaged"))
    with pytest.raises(OutdatedLedger, match="bench-1 assigned identities"):
        stations.check()
    file.path.with_suffix(".damaged").rename(file.path)
    # What a power cut leaves is none of that.
    file.path.write_bytes(whole + whole.splitlines()[-1][:30])
    stations.check()
    stations.make(2)
    stations.check()
    assert [one.thing for one in file.every() if one.thing] == ["monday-0", "monday-1"]


def test_nothing_is_assigned_where_no_receipt_can_be_written(stations: Stations, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ledger = Ledger(stations.database, station="bench-3", receipts=tmp_path / "file")
    with pytest.raises(LedgerUnavailable, match="no receipt can be written"):
        ledger.assign(BATCH, ConnectedBoard(mac(1)))


def test_the_private_key_of_a_station_stays_on_its_computer(stations: Stations) -> None:
    stations.make(1)
    here = receipts.default_directory()
    assert (here / "bench-1.key").stat().st_mode & 0o077 == 0
    secret = (here / "bench-1.key").read_bytes()
    for path in stations.receipts.rglob("*"):
        assert path.suffix != ".key" and (path.is_dir() or secret.hex().encode() not in path.read_bytes())


def test_the_station_refuses_yesterday_s_ledger_and_the_way_out_works(line: FactoryLine) -> None:
    line.open(3)
    line.plug(1)
    assert line.run()["ended"] == {"done": 1}
    database, copy = Path(line.where), line.directory / "copy.db"
    copied(database, copy)
    line.plug(1, first=2)
    assert line.run(ports=[line.boards[1].port])["ended"] == {"done": 1}
    line.database.close()
    for path in database.parent.glob("factory.db*"):
        path.unlink()
    copied(copy, database)
    line.database = Database(line.where)
    line.plug(1, first=3)
    process = line.start(ports=[line.boards[2].port])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1 and "restored from an older copy" in stderr and "factory recover" in stderr
    assert line.identity_on(line.boards[2]) is None

    books = CliRunner().invoke(command, ["verify-books", "--ledger", line.where, "--json"])
    assert books.exit_code == 1 and "restored from an older copy" in json.loads(books.stdout)["findings"][0]
    recovered = CliRunner().invoke(command, ["recover", "--ledger", line.where, "--reason", "a test"])
    assert recovered.exit_code == 0 and "recovered thing-1" in recovered.output, recovered.output
    again = CliRunner().invoke(command, ["recover", "--ledger", line.where, "--reason", "a test"])
    assert "nothing to recover" in again.output
    books = CliRunner().invoke(command, ["verify-books", "--ledger", line.where])
    assert books.exit_code == 0 and "receipts: " in books.output
    told = line.run(ports=[line.boards[2].port])
    assert told["ended"] == {"done": 1}, told["stderr"]
    things = [identity.thing for board in line.boards if (identity := line.identity_on(board))]
    assert sorted(things) == ["thing-0", "thing-1", "thing-2"]
    line.invariants()


def test_stations_on_postgresql_have_each_other_s_receipts(tmp_path: Path, postgresql: str) -> None:
    with psycopg.connect(postgresql, autocommit=True) as admin:
        for name in ("receipts", "yesterday"):
            admin.execute(f"DROP DATABASE IF EXISTS {name}")
        admin.execute("CREATE DATABASE receipts")
        url = postgresql.replace("/postgres?", "/receipts?")
        shared = tmp_path / "shared"

        def assign(station: str, number: int) -> str:
            database = Database(url)
            try:
                high_water.check(database, shared)
                record = Ledger(database, station=station, receipts=shared).assign(BATCH, ConnectedBoard(mac(number)))
                assert record is not None
                return record.thing
            finally:
                database.close()

        database = Database(url)
        identities = [NewIdentity(f"thing-{n}") for n in range(5)]
        Ledger(database, station="office", receipts=shared).open_batch(BATCH, identities, PLAN)
        database.close()
        assert (assign("bench-1", 1), assign("bench-2", 2)) == ("thing-0", "thing-1")
        admin.execute("CREATE DATABASE yesterday TEMPLATE receipts")
        assert assign("bench-2", 3) == "thing-2"
        admin.execute("DROP DATABASE receipts")
        admin.execute("ALTER DATABASE yesterday RENAME TO receipts")
        with pytest.raises(OutdatedLedger, match="bench-2 has a receipt"):  # bench-1 itself saw nothing newer
            assign("bench-1", 4)
