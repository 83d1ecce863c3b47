"""The ledger hands each identity to one board, keeps to its steps, and notices when it is tampered with."""

import datetime
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from rootlet.errors import BadInput, RootletError
from rootlet.factory.books import Head, verify_books
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger, NewIdentity, entry_hash
from rootlet.factory.schema import ENTRIES, HEAD, IDENTITIES, State, Step

T = TypeVar("T")
MAC = "24:0a:c4:00:00:01"


def certificate(thing: str) -> x509.Certificate:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, thing)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now)
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())


def ledger_with(database: Database, count: int, batch: str = "monday") -> Ledger:
    ledger = Ledger(database, station="station-1")
    ledger.open_batch(batch, [NewIdentity(f"{batch}-{n:04}", {"line": "a"}) for n in range(count)])
    return ledger


def take(ledger: Ledger, thing: str, *steps: Step, mac: str = MAC) -> None:
    for step in steps:
        ledger.begin(thing, step, mac=mac)
        ledger.finish(thing, step, mac=mac, certificate=certificate(thing) if step is Step.ISSUE else None)


def together(barrier: Barrier) -> None:
    global ready
    ready = barrier


def open_and_take_all(where: str, station: int) -> list[str]:
    ready.wait(60)  # so that all four are in it at once, and each in a process of its own
    database = Database(where)
    ledger, taken = Ledger(database, station=f"station-{station}"), []
    ready.wait(60)
    while record := ledger.assign("monday", f"24:0a:c4:{station:02x}:00:{len(taken):02x}"):
        taken.append(record.thing)
        if len(taken) == 1:
            ready.wait(60)
    database.close()
    return taken


def open_together(where: str, _station: int) -> None:
    ready.wait(60)
    Database(where).close()


def four_stations(work: Callable[[str, int], T], where: str) -> list[T]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn, initializer=together, initargs=(spawn.Barrier(4),)) as stations:
        return list(stations.map(work, [where] * 4, range(4)))


def test_four_stations_never_hand_out_one_identity_twice(where: str, database: Database) -> None:
    ledger_with(database, 120)
    taken = four_stations(open_and_take_all, where)
    assert all(taken)
    things = [thing for station in taken for thing in station]
    assert sorted(things) == [f"monday-{n:04}" for n in range(120)]
    assert verify_books(database).findings == []


def test_four_stations_may_open_a_new_ledger_at_once(where: str) -> None:
    four_stations(open_together, where)
    database = Database(where)
    assert verify_books(database).head.seq == 0
    database.close()


def test_a_board_goes_through_every_step_and_the_books_are_in_order(database: Database) -> None:
    ledger = ledger_with(database, 2)
    record = ledger.assign("monday", MAC)
    assert record is not None
    take(ledger, record.thing, Step.ISSUE, Step.IMAGE, Step.BURN, Step.PROVE, Step.REGISTER, Step.LABEL)
    assert ledger.record(record.thing).state is State.DONE
    assert ledger.status("monday") == {State.OPEN: 1, State.DONE: 1}
    assert verify_books(database).findings == []
    with pytest.raises(RootletError, match="is done: it is monday-0000"):
        ledger.assign("monday", MAC)


def test_a_board_that_comes_back_gets_the_same_identity_and_one_of_another_batch_is_refused(database: Database) -> None:
    ledger = ledger_with(database, 2)
    first = ledger.assign("monday", MAC)
    assert ledger.assign("monday", MAC) == first
    ledger_with(database, 1, "tuesday")
    with pytest.raises(RootletError, match="another batch"):
        ledger.assign("tuesday", MAC)


def test_a_station_that_died_is_seen_and_issues_anew_but_never_after_the_proof(database: Database) -> None:
    ledger = ledger_with(database, 1)
    ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.ISSUE)
    first = ledger.record("monday-0000").certificate_id
    ledger.begin("monday-0000", Step.BURN, mac=MAC)
    assert ledger.record("monday-0000").in_progress == Step.BURN
    take(ledger, "monday-0000", Step.ISSUE, Step.BURN, Step.PROVE)
    assert ledger.record("monday-0000").certificate_id != first
    with pytest.raises(RootletError, match="is proved: it cannot issue now"):
        ledger.begin("monday-0000", Step.ISSUE, mac=MAC)
    assert verify_books(database).findings == []


def test_nothing_is_registered_before_it_is_proved_nor_finished_before_it_is_begun(database: Database) -> None:
    ledger = ledger_with(database, 1)
    ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.ISSUE, Step.BURN)
    with pytest.raises(RootletError, match="is burned: it cannot register now"):
        ledger.begin("monday-0000", Step.REGISTER, mac=MAC)
    with pytest.raises(RootletError, match="prove was not begun"):
        ledger.finish("monday-0000", Step.PROVE, mac=MAC)
    with pytest.raises(RootletError, match="does not belong to the board"):
        ledger.begin("monday-0000", Step.PROVE, mac="24:0a:c4:00:00:99")


def test_a_deferred_board_leaves_the_station_and_is_registered_later(database: Database) -> None:
    ledger = ledger_with(database, 1)
    ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.ISSUE, Step.BURN, Step.PROVE, Step.QUEUE, Step.LABEL)
    assert ledger.status("monday") == {State.WAITING: 1}
    with pytest.raises(RootletError, match="is done"):
        ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.REGISTER)
    assert ledger.status("monday") == {State.DONE: 1}


def test_a_failed_step_keeps_board_and_identity_together(database: Database) -> None:
    ledger = ledger_with(database, 1)
    ledger.assign("monday", MAC)
    ledger.begin("monday-0000", Step.ISSUE, mac=MAC)
    ledger.fail("monday-0000", Step.ISSUE, "the CA is locked", mac=MAC)
    record = ledger.record("monday-0000")
    assert (record.state, record.in_progress, record.mac) == (State.ASSIGNED, "", MAC)
    assert verify_books(database).findings == []


def test_scrap_frees_the_board_but_not_what_the_cloud_may_trust(database: Database) -> None:
    ledger = ledger_with(database, 3)
    ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.ISSUE, Step.BURN)
    ledger.scrap("monday-0000", "the board is dead")
    again = ledger.assign("monday", MAC)
    assert again is not None and again.thing == "monday-0001"
    take(ledger, "monday-0001", Step.ISSUE, Step.BURN, Step.PROVE)
    ledger.begin("monday-0001", Step.REGISTER, mac=MAC)
    ledger.fail("monday-0001", Step.REGISTER, "AWS did not answer", mac=MAC)
    with pytest.raises(RootletError, match="may be active in AWS"):
        ledger.scrap("monday-0001", "too late")
    assert verify_books(database).findings == []


def test_a_batch_is_entered_whole_or_not_at_all(database: Database) -> None:
    ledger = ledger_with(database, 1)
    with pytest.raises(BadInput, match="already in the ledger"):
        ledger.open_batch("tuesday", [NewIdentity("new", {}), NewIdentity("monday-0000", {})])
    with pytest.raises(BadInput, match="does not know new"):
        ledger.record("new")
    assert verify_books(database).findings == []


def tampered(database: Database, *statements: sa.Executable) -> str:
    with database.writing() as connection:
        for statement in statements:
            connection.execute(statement)
    return "; ".join(verify_books(database).findings)


def test_an_altered_entry_is_found(database: Database) -> None:
    ledger_with(database, 3)
    assert tampered(database, sa.update(ENTRIES).where(ENTRIES.c.seq == 2).values(station="else")) == "entry 2 was altered"


def test_a_removed_entry_is_found_in_the_middle_and_at_the_end(database: Database) -> None:
    ledger_with(database, 4)
    assert "entry 2 is missing" in tampered(database, sa.delete(ENTRIES).where(ENTRIES.c.seq == 2))
    assert "its end was removed" in tampered(database, sa.delete(ENTRIES).where(ENTRIES.c.seq == 4))


def test_reordered_entries_are_found(database: Database) -> None:
    ledger_with(database, 3)
    moves = [sa.update(ENTRIES).where(ENTRIES.c.seq == a).values(seq=b) for a, b in ((1, 9), (2, 1), (9, 2))]
    assert "does not follow" in tampered(database, *moves)


def test_a_row_changed_behind_the_entries_is_found(database: Database) -> None:
    ledger = ledger_with(database, 2)
    ledger.assign("monday", MAC)
    take(ledger, "monday-0000", Step.ISSUE)
    first = IDENTITIES.c.thing == "monday-0000"
    assert "its state is not" in tampered(database, sa.update(IDENTITIES).where(first).values(state="done"))
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert "not the one it was issued" in tampered(database, sa.update(IDENTITIES).where(first).values(certificate_pem=pem))
    assert "is gone" in tampered(database, sa.delete(IDENTITIES).where(IDENTITIES.c.thing == "monday-0001"))


def test_a_chain_written_anew_is_found_by_the_head_that_was_kept(database: Database) -> None:
    ledger_with(database, 1)
    kept = verify_books(database).head
    with database.writing() as connection:
        entry = dict(connection.execute(sa.select(ENTRIES)).mappings().one())
        entry["station"] = "someone else"
        entry["hash"] = entry_hash(entry)
        connection.execute(sa.update(ENTRIES).values(**entry))
        connection.execute(sa.update(HEAD).values(hash=entry["hash"]))
    assert verify_books(database).findings == []  # no secret in the chain: without the kept head, it looks whole
    assert "written anew" in "; ".join(verify_books(database, kept=kept).findings)
    assert verify_books(database, kept=Head(1, entry["hash"])).findings == []


def test_a_ledger_file_is_for_its_owner_only_and_a_bad_place_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "ledger.db").close()
    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0
    with pytest.raises(BadInput, match="cannot be opened"):
        Database(tmp_path / "absent" / "ledger.db")
    with pytest.raises(BadInput, match="mysql is not supported"):
        Database("mysql://root:hunter2@host/x")
    with pytest.raises(RootletError) as refused:
        Database("postgresql://user:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in refused.value.what
