"""Thousands of identities at once: complete, distinct, resumed after an interruption, and unpacked."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from rootlet.errors import BadInput, RootletError
from rootlet.pki import batch, names
from rootlet.pki.authority import Authority
from rootlet.pki.batch import BatchRequest, BatchResult
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from support.pki_kit import PASSPHRASE, Rootlet

ENTRIES = names.from_pattern("sensor-####", 1200)


@pytest.fixture(scope="module")
def made(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("batch") / "batch-7"
    order = BatchRequest(ENTRIES, Subject(organization="Example", organizational_unit="Batch 7"))
    assert batch.issue(authority, directory, order, workers=2) == BatchResult(issued=1200, kept=0)
    return directory


def test_every_device_gets_a_key_and_a_certificate_of_its_own(made: Path, authority: Authority) -> None:
    identities = list(batch.read(made))
    assert [identity.thing for identity in identities] == [thing for thing, _ in ENTRIES]
    assert len({identity.key_der() for identity in identities}) == 1200
    assert len({identity.certificate.serial_number for identity in identities}) == 1200
    for identity in identities[::100]:
        assert identity.key.public_key() == identity.certificate.public_key()
        identity.certificate.verify_directly_issued_by(authority.certificate)
        assert identity.issuers == (authority.certificate,)
        assert identity.certificate.subject.rfc4514_string() == f"CN={identity.thing},OU=Batch 7,O=Example"


def test_only_its_owner_can_read_a_batch(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(part.stat().st_mode) for part in made.glob("part-*")} == {0o600}


def test_a_second_run_keeps_what_is_there_and_makes_what_is_missing(authority: Authority, tmp_path: Path) -> None:
    order = BatchRequest(ENTRIES)
    batch.issue(authority, tmp_path / "b", order, workers=2)
    first = {identity.thing: identity.certificate for identity in batch.read(tmp_path / "b")}
    (tmp_path / "b/part-00001.jsonl").unlink()
    with pytest.raises(BadInput, match="1 of 3 parts is missing"):
        list(batch.read(tmp_path / "b"))
    seen: list[int] = []
    assert batch.issue(authority, tmp_path / "b", order, workers=2, progress=seen.append) == BatchResult(
        issued=500, kept=700
    )
    assert seen == [700, 1200]
    second = {identity.thing: identity.certificate for identity in batch.read(tmp_path / "b")}
    assert sum(first[thing] == second[thing] for thing in first) == 700


@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        (lambda data: b"".join(data.splitlines(keepends=True)[:6])[:-99], 5),  # in the middle of a line
        (lambda data: b"".join(data.splitlines(keepends=True)[:7]), 3),  # between two lines
        (lambda data: b"", 10),
        (lambda data: data[:-1], 0),  # a line break is all that is missing
        (lambda data: data.replace(b'"key"', b'"kez"', 1), 1),
        (lambda data: data + data.splitlines(keepends=True)[0], 0),
    ],
    ids=["mid-line", "between lines", "empty", "line break", "one line", "a line twice"],
)
def test_a_part_that_lost_devices_is_not_counted_and_is_completed(
    authority: Authority, tmp_path: Path, harm: Callable[[bytes], bytes], lost: int
) -> None:
    directory, order = tmp_path / "b", BatchRequest(names.from_pattern("d-##", 10))
    batch.issue(authority, directory, order, workers=1)
    before = {identity.thing: identity.certificate for identity in batch.read(directory)}
    part = directory / "part-00000.jsonl"
    whole = part.read_bytes()
    part.write_bytes(harm(whole))
    if lost:
        with pytest.raises(BadInput, match=r"part-00000\.jsonl is damaged"):
            list(batch.read(directory))
        with pytest.raises(BadInput, match=r"part-00000\.jsonl is damaged"):
            batch.find(directory, "d-10")
    again = batch.issue(authority, directory, order, workers=1)
    assert (again.issued, again.kept) == (lost, 10 - lost)
    (kept,) = again.replaced
    assert (directory / kept).read_bytes() == harm(whole), "a key in it may be on a board"
    assert stat.S_IMODE((directory / kept).stat().st_mode) == 0o600
    after = {identity.thing: identity.certificate for identity in batch.read(directory)}
    assert list(after) == list(before)
    assert sum(before[thing] == after[thing] for thing in before) == 10 - lost
    assert batch.issue(authority, directory, order, workers=1) == BatchResult(issued=0, kept=10)


def test_a_certificate_or_key_that_cannot_be_read_is_named(authority: Authority, tmp_path: Path) -> None:
    directory = tmp_path / "b"
    batch.issue(authority, directory, BatchRequest([("d-1", None)]), workers=1)
    part = directory / "part-00000.jsonl"
    line = json.loads(part.read_text())
    for field, words in (("certificate", "the certificate of d-1"), ("key", "the key of d-1")):
        part.write_text(json.dumps(line | {field: line[field][:40]}) + "\n")
        with pytest.raises(BadInput, match=words) as refused:
            list(batch.read(directory))
        assert line["key"][:40] not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_is_resumed_by_the_same_command(
    number: signal.Signals, authority: Authority, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "rootlet.cli.main", "device", "issue-batch", str(tmp_path / "b")]
    command += ["--ca", str(authority.directory), "--count", "10000", "--pattern", "x-#####", "--workers", "2"]
    environment = os.environ | {"ROOTLET_CA_PASSPHRASE": PASSPHRASE}
    # As a shell does: a group of its own, which a terminal's Ctrl-C reaches as a whole.
    running = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    while not list((tmp_path / "b").glob("part-*")) and running.poll() is None:
        time.sleep(0.005)
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.kill()
    _, said = running.communicate(timeout=30)
    assert b"Traceback" not in said
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    there = len(list((tmp_path / "b").glob("part-*")))
    assert 0 < there < 20, "interrupted too late to show anything"
    deadline = time.monotonic() + 20
    while True:  # orphans of a killed run finish their part or end; until then they keep others out
        resumed = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=False)
        if b"another run is issuing" not in resumed.stderr or time.monotonic() > deadline:
            break
    assert resumed.returncode == 0, resumed.stderr
    assert len({identity.thing for identity in batch.read(tmp_path / "b")}) == 10_000
    assert [path.name for path in (tmp_path / "b").iterdir() if path.name.startswith(".")] == []


def test_another_order_is_not_mixed_in(made: Path, authority: Authority) -> None:
    for order in (
        BatchRequest(ENTRIES[:-1]),
        BatchRequest(ENTRIES, days=30),
        BatchRequest(ENTRIES, Subject(organization="Other")),
    ):
        with pytest.raises(BadInput, match="holds another batch"):
            batch.issue(authority, made, order)


def test_two_runs_do_not_work_on_one_batch(made: Path, authority: Authority) -> None:
    order = BatchRequest(ENTRIES, Subject(organization="Example", organizational_unit="Batch 7"))
    with batch._alone(made), pytest.raises(BadInput, match="another run is issuing"):
        batch.issue(authority, made, order)


def test_a_full_disk_is_named(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "write_secret", full)  # inherited by the forked workers
    with pytest.raises(RootletError, match="No space left on device") as refused:
        batch.issue(authority, tmp_path / "b", BatchRequest(ENTRIES), workers=2)
    assert "repeat the command" in refused.value.hint


def test_devices_are_unpacked_by_name_and_never_overwritten(rootlet: Rootlet, made: Path, tmp_path: Path) -> None:
    assert rootlet("device", "unpack", made, "sensor-0007", "sensor-1200", "--output", tmp_path).code == 0
    identity = DeviceIdentity.load(tmp_path / "sensor-0007")
    assert identity.certificate == batch.find(made, "sensor-0007").certificate
    again = rootlet("device", "unpack", made, "sensor-0007", "--output", tmp_path, "--json").json()
    assert (again["written"], again["kept"]) == (0, 1)
    refused = rootlet("device", "unpack", made, "sensor-9999", "--output", tmp_path)
    assert refused.code == 2 and "sensor-9999 is not in" in refused.err


def test_names_and_serials_come_from_a_csv_file(
    rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    (tmp_path / "names.csv").write_text("\ufeffthing,serial\nsensor-1,SN-1\n\nsensor-2,\n")
    command = ("device", "issue-batch", tmp_path / "b", "--ca", authority.directory, "--names", tmp_path / "names.csv")
    assert rootlet(*command, "--json").json() == {"directory": str(tmp_path / "b"), "issued": 2, "kept": 0, "replaced": []}
    subjects = [identity.certificate.subject.rfc4514_string() for identity in batch.read(tmp_path / "b")]
    assert subjects == ["CN=sensor-1,2.5.4.5=SN-1", "CN=sensor-2"]
    assert batch.find(tmp_path / "b", "sensor-1").certificate.fingerprint(hashes.SHA256())


def test_an_order_with_other_headers_is_mapped(
    rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    (tmp_path / "order.csv").write_text("Customer,Device,Serial no.\nAcme,sensor-1,SN-1\nAcme,sensor-2,\n")
    command = ("device", "issue-batch", tmp_path / "b", "--ca", authority.directory, "--names", tmp_path / "order.csv")
    refused = rootlet(*command, "--column", "thing=Name")
    assert refused.code == 2 and "no column 'Name'" in refused.err and "Customer, Device, Serial no." in refused.err
    assert not (tmp_path / "b").exists()
    assert rootlet(*command, "--column", "thing=Device", "--column", "serial=serial NO.").code == 0
    subjects = [identity.certificate.subject.rfc4514_string() for identity in batch.read(tmp_path / "b")]
    assert subjects == ["CN=sensor-1,2.5.4.5=SN-1", "CN=sensor-2"]


def test_a_column_without_a_file_is_refused(rootlet: Rootlet, authority: Authority, tmp_path: Path) -> None:
    command = ("device", "issue-batch", tmp_path / "b", "--ca", authority.directory, "--count", "1", "--pattern", "x#")
    refused = rootlet(*command, "--column", "thing=Device")
    assert refused.code == 2 and "the file of --names" in refused.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sensor-1\nsensor 2\n", "line 2: 'sensor 2' is not a thing name"),
        ("sensor-1,SN1\n", "begin with the line"),
        ("thing,colour\nsensor-1,red\n", "unknown column 'colour'"),
        ("a\nb\na\n", "a is named twice"),
        ("thing,serial\na,SN_1\n", "serial number 'SN_1'"),
        ("", "has no devices"),
    ],
)
def test_a_bad_list_of_names_is_refused_before_anything_is_made(
    text: str, problem: str, rootlet: Rootlet, authority: Authority, passphrase: str, tmp_path: Path
) -> None:
    (tmp_path / "names").write_text(text)
    refused = rootlet("device", "issue-batch", tmp_path / "b", "--ca", authority.directory, "--names", tmp_path / "names")
    assert refused.code == 2 and problem in refused.err
    assert not (tmp_path / "b").exists()


def test_a_pattern_numbers_from_the_first_on() -> None:
    assert names.from_pattern("a##b", 2, 9) == [("a09b", None), ("a10b", None)]
    for pattern, count in (("a#", 10), ("a", 1), ("#a#", 1), ("a b#", 1)):
        with pytest.raises(BadInput):
            names.from_pattern(pattern, count)
