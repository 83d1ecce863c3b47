"""What the factory line depends on fails: the database, AWS, the CA, its HSM, the clock."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.errors import BadInput
from rootlet.factory import ledger as ledger_module
from rootlet.factory import registrar, signing
from rootlet.factory.plan import BatchPlan, RegistrationMode
from rootlet.factory.schema import State
from rootlet.factory.station import LineTrouble, Phase
from rootlet.pki import certificates, keys
from rootlet.pki.authority import CERTIFICATE, KEY, Authority
from rootlet.pki.storage import write_directory
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from support.aws_proxy import REGISTER, AwsProxy, Verdict
from support.factory_line import BATCH, FactoryLine, unlocked
from support.softhsm import make_token, softhsm_installed


def test_a_database_that_goes_and_comes_back_holds_the_boards_and_loses_nothing(
    tmp_path: Path, ca: Path, golden: bytes, postgresql: str
) -> None:
    with psycopg.connect(postgresql, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS factory")
        admin.execute("CREATE DATABASE factory")
    url = postgresql.replace("/postgres?", "/factory?")
    with FactoryLine(tmp_path, ca, None, golden, where=url) as line, psycopg.connect(postgresql, autocommit=True) as admin:
        line.open(3)
        boards = line.plug(2)
        gone: list[int] = []

        def shut() -> None:
            if not gone:
                gone.append(1)
                admin.execute("ALTER DATABASE factory ALLOW_CONNECTIONS false")
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'factory'")

        boards[0].memory._count = shut  # type: ignore[method-assign]
        try:
            process = line.start()
            assert process.stderr is not None
            for told in process.stderr:
                if "waiting for the line" in told:
                    break
            admin.execute("ALTER DATABASE factory ALLOW_CONNECTIONS true")
            stdout, _ = process.communicate(timeout=60)
        finally:
            admin.execute("ALTER DATABASE factory ALLOW_CONNECTIONS true")
        assert gone
        assert '"done": 2' in stdout
        line.invariants()


def behind(proxy: AwsProxy, line: FactoryLine) -> registrar.Registrar:
    """Registers through the proxy."""
    settings = Config(retries={"total_max_attempts": 2, "mode": "standard"})
    iot = boto3.client("iot", endpoint_url=proxy.url, config=settings)
    return registrar.Registrar(iot, line.ledger.plan(BATCH), unlocked(line.ca).chain)


def test_an_answer_of_aws_that_was_lost_is_asked_for_again_and_nothing_is_there_twice(
    line: FactoryLine, aws: IoTClient, sandbox: Sandbox
) -> None:
    lost: list[str] = []

    def judge(method: str, path: str) -> Verdict:
        if (method, path) == REGISTER and not lost:
            lost.append(path)
            return "lose answer"
        return "pass"

    line.registration = RegistrationMode.NOW
    line.open(1, prefix="lost")
    (board,) = line.plug(1)
    with AwsProxy(sandbox.facts.api_url, judge) as proxy:
        assert line.make(board, register=behind(proxy, line)).phase is Phase.DONE
    assert lost
    record = line.ledger.record("lost-0")
    assert record.state is State.DONE
    described = aws.describe_certificate(certificateId=record.certificate_id or "")
    assert described["certificateDescription"]["status"] == "ACTIVE"
    line.invariants()


@pytest.mark.parametrize("verdict", ["throttle", "refuse", "lose answer"])
def test_aws_that_throttles_or_is_gone_holds_up_no_board(
    line: FactoryLine, aws: IoTClient, sandbox: Sandbox, verdict: Verdict
) -> None:
    line.registration = RegistrationMode.NOW
    line.open(2, prefix=verdict.replace(" ", "-"))
    boards = line.plug(2)
    with AwsProxy(sandbox.facts.api_url, lambda *_: verdict) as proxy:
        register = behind(proxy, line)
        for board in boards:
            status = line.make(board, register=register)
            assert (status.phase, "will be registered later" in status.what) == (Phase.DONE, True)
    assert line.count(State.WAITING) == 2
    # AWS is well again.
    well = registrar.Registrar(aws, line.ledger.plan(BATCH), unlocked(line.ca).chain)
    drained = registrar.drain(line.database, line.ledger, BATCH, well, rate=100)
    assert (drained.registered, drained.failed) == (2, [])
    assert line.count(State.DONE) == 2
    line.invariants()


def test_a_locked_ca_is_told_before_any_board_is_touched(line: FactoryLine) -> None:
    line.open(1)
    line.plug(1)
    line.environment = {"ROOTLET_CA_PASSPHRASE": "not this one"}
    with line.start() as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "the passphrase is wrong" in stderr
    assert line.boards[0].connections == 0
    assert line.count(State.OPEN) == 1


def test_an_expired_ca_opens_no_batch_and_signs_nothing(tmp_path: Path) -> None:
    key = keys.generate()
    name = Subject().name("Old CA")
    old = certificates.root(name, key, days=30, now=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    files = {
        CERTIFICATE: old.public_bytes(Encoding.PEM),
        KEY: keys.encrypted_pem(key, b"12345678"),
    }
    write_directory(tmp_path / "old-ca", files, secret={KEY}, what="a CA")
    with pytest.raises(BadInput, match="the CA Old CA expired on 2020-01-31"):
        signing.check_ca(tmp_path / "old-ca")
    plan = BatchPlan(board="esp32_generic", customer="x", ca_sha256=old.fingerprint(SHA256()).hex())
    now = [dt.datetime(2020, 1, 2, tzinfo=dt.UTC)]
    desk = signing.SigningDesk(lambda: Authority.load(tmp_path / "old-ca", b"12345678"), plan, clock=lambda: now[0])
    now[0] = dt.datetime(2020, 3, 1, tzinfo=dt.UTC)  # it expires while the station runs
    with pytest.raises(BadInput, match="expired"):
        desk.certify("x", None, keys.generate().public_key())
    desk.close()


def test_a_wrong_clock_is_told_before_anything_is_signed(line: FactoryLine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tomorrow(dt.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Tomorrow":
            return cls.fromtimestamp(dt.datetime.now(tz).timestamp() + 86_400, tz)

    with monkeypatch.context() as patched:
        patched.setattr(ledger_module, "datetime", Tomorrow)
        line.open(1)
    line.plug(1)
    with line.start() as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "set this computer's clock" in stderr
    assert line.boards[0].connections == 0
    with pytest.raises(BadInput, match="is valid from"):
        signing.check_ca(line.ca, lambda: dt.datetime(2001, 1, 1, tzinfo=dt.UTC))


@pytest.mark.skipif(not softhsm_installed(), reason="SoftHSM is not installed: nothing was shown about a removed HSM")
def test_boards_wait_while_the_hsm_is_unplugged_and_are_done_when_it_is_back(tmp_path: Path, golden: bytes) -> None:
    hsm = make_token(tmp_path)
    command = [sys.executable, "-m", "rootlet.cli.main", "ca", "create", str(tmp_path / "hsm-ca"), *map(str, hsm.options)]
    variables = {**hsm.environment, "ROOTLET_CA_PIN": hsm.pin}
    subprocess.run(command, env=os.environ | variables, check=True, capture_output=True)
    with FactoryLine(tmp_path, tmp_path / "hsm-ca", None, golden, environment=variables) as line:
        line.open(1)
        (board,) = line.plug(1)
        away = tmp_path / "unplugged"

        def unplug() -> None:
            if not away.exists() and line.count(State.ASSIGNED) == 0:
                (tmp_path / "tokens").rename(away)

        board.memory._count = unplug  # type: ignore[method-assign]
        with line.start() as process:
            assert process.stderr is not None
            told = []
            for text in process.stderr:
                told.append(text)
                if "waiting for the line" in text:
                    away.rename(tmp_path / "tokens")
                    board.memory._count = lambda: None  # type: ignore[method-assign]
                    break
            stdout, _ = process.communicate(timeout=60)
        assert '"done": 1' in stdout, told
        assert hsm.pin not in stdout + "".join(told)
        line.invariants()


def test_a_board_waits_while_the_ca_cannot_sign(line: FactoryLine) -> None:
    line.open(1)
    (board,) = line.plug(1)

    def locked(*_: Any) -> Any:
        raise LineTrouble("token 'factory': it refused", hint="plug it in")

    with pytest.raises(LineTrouble):
        line.make(board, certify=locked)
    record = line.ledger.record("thing-0")
    assert (record.state, record.trouble) == (State.ASSIGNED, "token 'factory': it refused")
    assert line.make(board).phase is Phase.DONE
    line.invariants()
