"""The ledger hands each identity to one board, keeps to its steps, and notices when it is tampered with."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

import pytest
import sqlalchemy as sa
from cryptography import x509
from rootlet.errors import BadInput, RootletError
from rootlet.factory.admission import AlreadyDone, ConnectedBoard, Refused
from rootlet.factory.books import Head, verify_books
from rootlet.factory.chain import entry_hash
from rootlet.factory.database import Database
from rootlet.factory.ledger import Ledger
from rootlet.factory.plan import BatchPlan, NewIdentity, RegistrationMode
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import BATCHES, ENTRIES, HEAD, IDENTITIES, State, Step
from rootlet.pki import keys
from support import certificates

T = TypeVar("T")
MAC = "24:0a:c4:00:00:01"


def certificate(thing: str) -> x509.Certificate:
    return certificates.certificate(thing, keys.generate())


PLAN = BatchPlan(board="esp32_generic", customer="Tests", ca_sha256="00" * 32)


def ledger_with(database: Database, count: int, batch: str = "monday", plan: BatchPlan = PLAN) -> Ledger:
    ledger = Ledger(database, station="station-1")
    ledger.open_batch(batch, [NewIdentity(f"{batch}-{n:04}", {"line": "a"}) for n in range(count)], plan)
    return ledger


def assigned(ledger: Ledger, mac: str = MAC, carried: str | None = None, batch: str = "monday") -> IdentityRecord:
    record = ledger.assign(batch, ConnectedBoard(mac, carried))
    assert record is not None
    return record


def take(ledger: Ledger, record: IdentityRecord, *steps: Step) -> IdentityRecord:
    for step in steps:
        ledger.begin(record, step)
        record = ledger.finish(record, step, certificate=certificate(record.thing) if step is Step.ISSUE else None)
    return record


ready: Barrier


def together(barrier: Barrier) -> None:
    global ready
    ready = barrier


def open_and_take_all(where: str, station: int) -> list[str]:
    ready.wait(60)  # so that all four are in it at once, and each in a process of its own
    database = Database(where)
    ledger, taken = Ledger(database, station=f"station-{station}"), list[str]()
    ready.wait(60)
    while record := ledger.assign("monday", ConnectedBoard(f"24:0a:c4:{station:02x}:00:{len(taken):02x}")):
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
    done = take(ledger, assigned(ledger), Step.ISSUE, Step.IMAGE, Step.BURN, Step.PROVE, Step.REGISTER, Step.LABEL)
    assert done.state is State.DONE
    assert ledger.status("monday") == {State.OPEN: 1, State.DONE: 1}
    assert verify_books(database).findings == []
    with pytest.raises(AlreadyDone, match="is done: it is monday-0000"):
        ledger.assign("monday", ConnectedBoard(MAC, done.certificate_id))


def test_a_board_that_comes_back_gets_the_same_identity_and_one_of_another_batch_is_refused(database: Database) -> None:
    ledger = ledger_with(database, 2)
    assert assigned(ledger).thing == assigned(ledger).thing
    ledger_with(database, 1, "tuesday")
    with pytest.raises(Refused, match="another batch"):
        ledger.assign("tuesday", ConnectedBoard(MAC))


def test_whoever_lost_its_claim_can_write_no_more(database: Database) -> None:
    ledger = ledger_with(database, 1)
    first = assigned(ledger)
    ledger.begin(first, Step.ISSUE)
    second = assigned(ledger)
    for write in (
        lambda: ledger.finish(first, Step.ISSUE, certificate=certificate(first.thing)),
        lambda: ledger.fail(first, Step.ISSUE, "too late"),
        lambda: ledger.begin(first, Step.ISSUE),
    ):
        with pytest.raises(RootletError, match="taken over"):
            write()
    take(ledger, second, Step.ISSUE)
    assert verify_books(database).findings == []


def test_a_second_board_with_the_same_mac_is_told_apart_by_its_certificate(database: Database) -> None:
    ledger = ledger_with(database, 3)
    done = take(ledger, assigned(ledger), Step.ISSUE, Step.BURN)
    with pytest.raises(Refused, match="has no certificate") as refused:
        ledger.assign("monday", ConnectedBoard(MAC))
    assert "factory retry monday-0000" in refused.value.hint
    done = take(ledger, assigned(ledger, carried=done.certificate_id), Step.PROVE, Step.REGISTER, Step.LABEL)
    with pytest.raises(Refused, match="was assigned monday-0000, and this board has no certificate") as refused:
        ledger.assign("monday", ConnectedBoard(MAC))
    assert "two boards have the same MAC" in refused.value.hint
    with pytest.raises(AlreadyDone):
        ledger.assign("monday", ConnectedBoard(MAC, done.certificate_id))
    assert ledger.status("monday") == {State.OPEN: 2, State.DONE: 1}


def test_what_cannot_be_read_is_written_over_only_where_a_station_had_begun_to_write(database: Database) -> None:
    ledger = ledger_with(database, 1)
    issued = take(ledger, assigned(ledger), Step.ISSUE)
    unreadable = ConnectedBoard(MAC, whole=False)
    with pytest.raises(Refused, match="has a credential partition that cannot be read"):
        ledger.assign("monday", unreadable)
    ledger.begin(issued, Step.BURN)
    found = ledger.assign("monday", unreadable)
    assert found is not None and found.thing == issued.thing


def test_a_copied_flash_and_a_foreign_identity_are_refused(database: Database) -> None:
    ledger = ledger_with(database, 2)
    done = take(ledger, assigned(ledger), Step.ISSUE, Step.BURN, Step.PROVE, Step.REGISTER, Step.LABEL)
    with pytest.raises(Refused, match="has the identity of monday-0000, which belongs to the board " + MAC):
        ledger.assign("monday", ConnectedBoard("24:0a:c4:00:00:02", done.certificate_id))
    with pytest.raises(Refused, match="not in this ledger"):
        ledger.assign("monday", ConnectedBoard("24:0a:c4:00:00:02", "ab" * 32))
    assert ledger.status("monday")[State.OPEN] == 1


def test_a_station_that_died_is_seen_and_issues_anew_but_never_after_the_proof(database: Database) -> None:
    ledger = ledger_with(database, 1)
    first = take(ledger, assigned(ledger), Step.ISSUE)
    ledger.begin(first, Step.BURN)
    assert ledger.record("monday-0000").in_progress == Step.BURN
    again = take(ledger, assigned(ledger, carried=first.certificate_id), Step.ISSUE, Step.BURN, Step.PROVE)
    assert again.certificate_id != first.certificate_id
    assert ledger.certificates("monday-0000") == [first.certificate_id, again.certificate_id]
    with pytest.raises(RootletError, match="the step issue is not possible for monday-0000, which is proved"):
        ledger.begin(again, Step.ISSUE)
    assert verify_books(database).findings == []


def test_nothing_is_registered_before_it_is_proved_nor_finished_before_it_is_begun(database: Database) -> None:
    ledger = ledger_with(database, 1)
    record = take(ledger, assigned(ledger), Step.ISSUE, Step.BURN)
    with pytest.raises(RootletError, match="the step register is not possible for monday-0000, which is burned"):
        ledger.begin(record, Step.REGISTER)
    with pytest.raises(RootletError, match="prove was not begun"):
        ledger.finish(record, Step.PROVE)


def test_a_deferred_board_leaves_the_station_and_is_registered_later(database: Database) -> None:
    ledger = ledger_with(database, 1)
    record = take(ledger, assigned(ledger), Step.ISSUE, Step.BURN, Step.PROVE, Step.QUEUE, Step.LABEL)
    assert ledger.status("monday") == {State.WAITING: 1}
    with pytest.raises(AlreadyDone):
        ledger.assign("monday", ConnectedBoard(MAC, record.certificate_id))
    take(ledger, ledger.take_over(record.thing), Step.REGISTER)
    assert ledger.status("monday") == {State.DONE: 1}


def test_a_failed_step_keeps_board_and_identity_together_and_says_why(database: Database) -> None:
    ledger = ledger_with(database, 1)
    record = assigned(ledger)
    ledger.begin(record, Step.ISSUE)
    ledger.fail(record, Step.ISSUE, "the CA is locked")
    record = ledger.record("monday-0000")
    assert (record.state, record.in_progress, record.mac) == (State.ASSIGNED, "", MAC)
    assert record.trouble == "the CA is locked"
    assert verify_books(database).findings == []
    assert take(ledger, assigned(ledger), Step.ISSUE).trouble is None


def test_scrap_frees_the_board_but_not_what_the_cloud_may_trust(database: Database) -> None:
    ledger = ledger_with(database, 3)
    first = take(ledger, assigned(ledger), Step.ISSUE, Step.BURN)
    ledger.scrap("monday-0000", "the board is dead")
    second = assigned(ledger, carried=first.certificate_id)
    assert second.thing == "monday-0001"
    second = take(ledger, second, Step.ISSUE, Step.BURN, Step.PROVE)
    ledger.begin(second, Step.REGISTER)
    ledger.fail(second, Step.REGISTER, "AWS did not answer")
    assert ledger.needs_revoking("monday-0001")
    with pytest.raises(RootletError, match="may be active in AWS"):
        ledger.scrap("monday-0001", "too late")
    take(ledger, ledger.take_over("monday-0001"), Step.REVOKE)
    with pytest.raises(Refused, match="revoked"):
        ledger.assign("monday", ConnectedBoard(MAC, second.certificate_id))
    ledger.scrap("monday-0001", "the board is dead, too")
    assert assigned(ledger, carried=second.certificate_id).thing == "monday-0002"
    assert verify_books(database).findings == []


def test_under_jitp_a_written_certificate_is_revoked_before_it_is_given_up(database: Database) -> None:
    plan = BatchPlan(board="esp32_generic", customer="Tests", ca_sha256="00" * 32, registration=RegistrationMode.JITP)
    ledger = ledger_with(database, 1, plan=plan)
    take(ledger, assigned(ledger), Step.ISSUE, Step.BURN)
    with pytest.raises(RootletError, match="JITP"):
        ledger.restart("monday-0000", release=True)
    with pytest.raises(RootletError, match="may be active in AWS"):
        ledger.scrap("monday-0000", "lost")
    assert ledger.restart("monday-0000").state is State.ASSIGNED


def test_retry_begins_an_unproved_identity_anew_and_release_gives_it_to_any_board(database: Database) -> None:
    ledger = ledger_with(database, 1)
    take(ledger, assigned(ledger), Step.ISSUE, Step.BURN)
    ledger.restart("monday-0000")
    assert assigned(ledger).thing == "monday-0000"  # erased, and welcome again
    ledger.restart("monday-0000", release=True)
    other = "24:0a:c4:00:00:02"
    record = take(ledger, assigned(ledger, other), Step.ISSUE, Step.BURN, Step.PROVE)
    with pytest.raises(RootletError, match="is proved: it cannot be restarted"):
        ledger.restart("monday-0000")
    assert record.mac == other
    assert verify_books(database).findings == []


def test_a_batch_is_entered_whole_or_not_at_all(database: Database) -> None:
    ledger = ledger_with(database, 1)
    with pytest.raises(BadInput, match="already in the ledger"):
        ledger.open_batch("tuesday", [NewIdentity("new"), NewIdentity("monday-0000")], PLAN)
    with pytest.raises(BadInput, match="has no thing new"):
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
    assert "the last entries were removed" in tampered(database, sa.delete(ENTRIES).where(ENTRIES.c.seq == 5))


def test_reordered_entries_are_found(database: Database) -> None:
    ledger_with(database, 3)
    moves = [sa.update(ENTRIES).where(ENTRIES.c.seq == a).values(seq=b) for a, b in ((1, 9), (2, 1), (9, 2))]
    assert "does not follow" in tampered(database, *moves)


def test_a_row_changed_behind_the_entries_is_found(database: Database) -> None:
    ledger = ledger_with(database, 2)
    take(ledger, assigned(ledger), Step.ISSUE)
    first = IDENTITIES.c.thing == "monday-0000"
    assert "its state does not match" in tampered(database, sa.update(IDENTITIES).where(first).values(state="done"))
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert "certificate does not match its ledger entry" in tampered(
        database, sa.update(IDENTITIES).where(first).values(certificate_pem=pem)
    )
    assert "batch monday" in tampered(database, sa.update(BATCHES).values(customer="somebody else"))
    assert "identity was removed" in tampered(database, sa.delete(IDENTITIES).where(IDENTITIES.c.thing == "monday-0001"))


def test_a_chain_written_anew_is_found_by_the_head_that_was_kept(database: Database) -> None:
    ledger_with(database, 1)
    kept = verify_books(database).head
    with database.writing() as connection:
        entry = dict(connection.execute(sa.select(ENTRIES).where(ENTRIES.c.seq == 2)).mappings().one())
        entry["station"] = "someone else"
        entry["hash"] = entry_hash(entry)
        connection.execute(sa.update(ENTRIES).where(ENTRIES.c.seq == 2).values(**entry))
        connection.execute(sa.update(HEAD).values(hash=entry["hash"]))
    assert verify_books(database).findings == []  # no secret in the chain: without the kept head, it looks whole
    assert "rewritten or cut" in "; ".join(verify_books(database, kept=kept).findings)
    assert verify_books(database, kept=Head(2, entry["hash"])).findings == []


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
