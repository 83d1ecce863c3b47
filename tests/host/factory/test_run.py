"""``rootlet factory run``: boards through the station, side by side, with what an operator meets on an ordinary day."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from mypy_boto3_iot import IoTClient
from rootlet.board import partitions
from rootlet.cli.factory.group import command
from rootlet.errors import BadInput, RootletError
from rootlet.factory import views
from rootlet.factory.floor import tiles
from rootlet.factory.plan import RegistrationMode
from rootlet.factory.schema import State
from rootlet.factory.station import Phase, until_connected
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from support.factory_line import PASSPHRASE, FactoryLine, mac


@contextlib.contextmanager
def killed_at_the_end(process: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


def cli(line: FactoryLine, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--ledger", line.where])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_eight_boards_at_once_have_eight_identities_and_their_keys_are_nowhere_else(line: FactoryLine) -> None:
    line.open(9)
    line.plug(8)
    told = line.run("--labels", "labels")
    assert told["ended"] == {"done": 8}, told["stderr"]
    assert line.ledger.status("monday") == {State.OPEN: 1, State.WAITING: 8}
    line.invariants()
    assert len(list((line.directory / "labels").glob("*.png"))) == 8
    written = b"".join(path.read_bytes() for path in line.directory.rglob("*") if path.is_file())
    written += json.dumps(told).encode()
    assert b"thing-0" in written
    for board in line.boards:
        identity = line.identity_on(board)
        assert identity is not None
        assert isinstance(identity.key, ec.EllipticCurvePrivateKey)
        secret = identity.key.private_numbers().private_value.to_bytes(32, "big")
        assert identity.key_der() in board.flash  # what is looked for would be found
        for form in (secret, secret[::-1], secret.hex().encode(), identity.key_der()):
            assert form not in written


def test_a_fresh_board_gets_the_golden_image_first(tmp_path: Path, ca: Path, golden: bytes) -> None:
    with FactoryLine(tmp_path, ca, golden, b"\xff" * len(golden)) as line:
        line.open(1)
        (board,) = line.plug(1)
        told = line.run()
        assert told["ended"] == {"done": 1}, told["stderr"]
        assert [entry["step"] for entry in views.past(line.database, "thing-0") if entry["phase"] == "done"] == [
            *("open", "assign", "issue", "image", "burn", "prove", "queue", "label")
        ]
        assert line.identity_on(board) is not None
        place = next(one for one in partitions.decode(golden[0x8000:0x8C00]) if one.label == partitions.SECURE_CERT)
        assert board.flash[: place.offset] + golden[place.offset : place.end] + board.flash[place.end :] == golden
        line.invariants()


def test_a_station_registers_and_every_active_certificate_has_a_proved_board(
    line: FactoryLine, aws: IoTClient, sandbox: object
) -> None:
    line.registration = RegistrationMode.NOW
    line.environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    line.open(2, prefix="now")
    line.plug(2)
    told = line.run()
    assert told["ended"] == {"done": 2}, told["stderr"]
    assert line.all_are(State.DONE)
    active = {one["certificateId"]: one["status"] for one in aws.list_certificates(pageSize=250)["certificates"]}
    for board in line.boards:
        identity = line.identity_on(board)
        assert identity is not None
        assert active[identity.certificate_id] == "ACTIVE"
        assert aws.list_thing_principals(thingName=identity.thing)["principals"][0].endswith(identity.certificate_id)
    line.invariants(active=active)
    assert "0 disagreements" in cli(line, "reconcile", "monday")

    # One of them dies: its certificate is revoked before its identity is given up.
    identity = line.identity_on(line.boards[0])
    assert identity is not None
    assert "revoked in AWS, and scrapped" in cli(line, "scrap", identity.thing, "--reason", "dead")
    assert aws.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]["status"] == "REVOKED"
    assert aws.list_thing_principals(thingName=identity.thing)["principals"] == []
    assert "0 disagreements" in cli(line, "reconcile", "monday")

    # Somebody switches the other one off in AWS: the books notice.
    other = line.identity_on(line.boards[1])
    assert other is not None
    aws.update_certificate(certificateId=other.certificate_id, newStatus="INACTIVE")
    with pytest.raises(RootletError, match="1 disagreement"):
        cli(line, "reconcile", "monday")


def test_a_policy_that_is_not_there_is_told_before_any_board_is_touched(
    line: FactoryLine, aws: IoTClient, sandbox: object
) -> None:
    line.registration, line.policy = RegistrationMode.NOW, "typo"
    line.environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    line.open(1, prefix="typo")
    line.plug(1)
    with line.start() as process:
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, "the account has no policy typo" in stderr) == (2, True)
    assert line.boards[0].connections == 0
    with pytest.raises(BadInput, match="no policy typo"):
        cli(line, "register", "monday")


def test_a_line_begins_without_aws_and_its_boards_wait(line: FactoryLine) -> None:
    line.registration, line.policy = RegistrationMode.NOW, "typo"
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1", "AWS_DEFAULT_REGION": "eu-west-1"}
    line.environment = nowhere | {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    line.open(1, prefix="alone")
    line.plug(1)
    assert line.run()["ended"] == {"done": 1}
    assert line.count(State.WAITING) == 1


def test_a_name_that_nobody_knows_is_told_before_another_thing_is_scrapped(line: FactoryLine) -> None:
    line.open(1, prefix="kept")
    with pytest.raises(RootletError, match="typo"):
        cli(line, "scrap", "kept-0", "typo", "--reason", "dropped")
    assert line.count(State.OPEN) == 1


def test_deferred_boards_are_registered_later_and_attributes_come_along(line: FactoryLine, aws: IoTClient) -> None:
    line.open(2, prefix="later")
    line.plug(2)
    assert line.run()["ended"] == {"done": 2}
    told = json.loads(cli(line, "register", "monday", "--rate", "100", "--json"))
    assert (told["registered"], told["failed"]) == (2, [])
    assert line.all_are(State.DONE)
    assert json.loads(cli(line, "register", "monday", "--json"))["registered"] == 0
    assert "later-0,SN0,monday,Tests,done," in cli(line, "export", "monday", "--proved")
    line.invariants()


def test_a_board_that_comes_again_is_told_and_nothing_changes(line: FactoryLine) -> None:
    line.open(2)
    (board,) = line.plug(1)
    assert line.make(board).phase is Phase.DONE
    before = board.flash
    assert line.make(board).phase is Phase.ALREADY
    assert board.flash == before
    assert "is thing-0" in cli(line, "reconcile", "monday", "--port", board.port)


def test_a_board_of_another_kind_is_set_aside_and_its_image_is_the_engineer_s_setting(
    line: FactoryLine, golden: bytes
) -> None:
    line.open(2)
    other = line.plug_one(mac(1), chip="esp32c3")
    before = other.flash
    told = line.make(other)
    assert told.phase is Phase.REFUSED and "is an ESP32-C3; the image is for esp32" in told.what
    assert "choose the image" not in told.hint and "set in rootlet factory run" in told.hint
    assert other.flash == before
    assert line.ledger.status("monday") == {State.OPEN: 2}


def test_without_an_identity_left_a_board_stays_as_it_was(line: FactoryLine) -> None:
    line.open(1)
    line.plug(2)
    told = line.run()
    assert told["ended"] == {"done": 1, "no identity left": 1}
    assert told["code"] == 1
    line.invariants()


def test_keys_are_kept_only_when_asked_and_encrypted(line: FactoryLine) -> None:
    line.open(1)
    line.plug(1)
    line.environment = {"ROOTLET_KEYS_PASSPHRASE": "keep them well"}
    assert line.run("--keep-keys", "keys")["ended"] == {"done": 1}
    (kept,) = (line.directory / "keys").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")
    identity = line.identity_on(line.boards[0])
    assert identity is not None
    assert keys.load(kept, b"keep them well").public_key() == identity.key.public_key()


def test_boards_are_swapped_while_the_station_runs(line: FactoryLine) -> None:
    line.open(3)
    first = line.plug_one(mac(1))
    port = first.port
    with line.start(ports=[port], once=False) as running, killed_at_the_end(running):
        line.wait_for(lambda: [tile.phase for tile in tiles(line.database)] == [Phase.DONE])
        first.unplug()
        line.wait_for(lambda: [tile.phase for tile in tiles(line.database)] == [Phase.EMPTY])
        second = line.plug_one(mac(2), port=port)
        line.wait_for(lambda: line.count(State.WAITING) == 2)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=30)
    assert json.loads(stdout)["ended"] == {"done": 2}, stderr
    assert line.identity_on(second) is not None
    line.invariants()


def test_in_a_jig_the_next_board_is_known_by_its_mac_address(line: FactoryLine, golden: bytes) -> None:
    line.open(3)
    jig = line.plug_one(mac(1))
    with line.start("--jig", once=False) as running, killed_at_the_end(running):
        line.wait_for(lambda: [tile.phase for tile in tiles(line.database)] == [Phase.DONE])
        jig.memory.data[:] = golden
        jig.become(mac(2))
        line.wait_for(lambda: line.count(State.WAITING) == 2)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=30)
    assert json.loads(stdout)["ended"] == {"done": 2}, stderr


def test_a_board_that_boots_is_seen_to_connect_or_its_fault_is_told() -> None:
    until_connected(["0 identity: thing x", "12 mqtt: first puback"], "p")
    with pytest.raises(RootletError, match="booted and reports 3 fault: tls: no such root"):
        until_connected(["1 wifi", "3 fault: tls: no such root; rebuild the image"], "p")
    with pytest.raises(RootletError, match="did not connect"):
        until_connected([], "p")


def test_the_station_refuses_what_is_not_set_up(
    line: FactoryLine, tmp_path: Path, golden: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.open(1)
    (tmp_path / "golden.bin").write_bytes(golden)
    other = tmp_path / "other-ca"
    Authority.create(other, PASSPHRASE.encode(), name="Other CA", subject=Subject())
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", PASSPHRASE)
    for arguments, told in (
        (["monday"], "no port is given"),
        (["tuesday", "--all-ports"], "there is no batch tuesday"),
        (["monday", "--all-ports", "--ca", str(other)], "is not the one this batch was opened with"),
        (["monday", "--all-ports", "--image", str(tmp_path / "golden.bin")], "holds no MicroPython"),
        (["monday", "--all-ports", "--label-text", "{key}"], "no field 'key'"),
    ):
        with pytest.raises(RootletError, match=told):
            cli(line, "run", *arguments)
