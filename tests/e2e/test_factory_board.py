"""From the pile to the cloud: what the station made of a board boots, connects, and is seen to."""

import json
from pathlib import Path

from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet.board import image
from rootlet.board.chip import Chip
from rootlet.board.definition import load_board
from rootlet.cli.factory.group import command
from rootlet.factory import registrar
from rootlet.factory.plan import RegistrationMode
from rootlet.factory.records import IdentityRecord
from rootlet.factory.schema import State
from rootlet.factory.station import Phase, until_connected
from rootlet.sandbox.sandbox import Sandbox
from rootlet.trust.roots import load_manifest
from support.device import SAMPLE, BuiltDevice
from support.factory_line import FactoryLine, ca, mac, unlocked

__all__ = ["ca"]


def test_a_board_is_done_when_it_has_booted_and_the_cloud_acknowledged_it(
    tmp_path: Path, ca: Path, sandbox: Sandbox, aws: IoTClient
) -> None:
    facts = sandbox.facts
    config = {"endpoint": facts.endpoint, "port": facts.mqtt_port}
    roots = load_manifest().defaults()
    golden = image.build(load_board("esp32_generic"), config, SAMPLE, roots, sandbox_root=sandbox.root_pem).flash
    chain = unlocked(ca).chain
    with FactoryLine(tmp_path, ca, None, golden, RegistrationMode.NOW) as line:
        line.open(1, prefix="floor")
        board = line.plug_one(mac(1))
        registered: list[str] = []

        def register(record: IdentityRecord) -> None:
            if registered:  # the first time AWS says yes and does nothing, and the boot shows it
                registrar.Registrar(aws, line.ledger.plan("monday"), chain)(record)
            registered.append(record.thing)

        def connect(chip: Chip) -> None:
            chip.close()
            device = BuiltDevice(tmp_path, None, {}, resolve={facts.endpoint: "127.0.0.1"})
            device.flash.write_bytes(board.flash)
            with device.boot() as running:
                running.wait_for(r"mqtt: first puback|^\d+ fault: ")
                until_connected(running.lines, board.port)

        refused = line.make(board, register=register, connect=connect)
        assert refused.phase is Phase.FAILED
        assert "booted and reports" in refused.what
        assert line.ledger.record("floor-0").state is State.REGISTERED
        register(line.ledger.record("floor-0"))
        done = line.make(board, register=register, connect=connect)
        assert done.phase is Phase.DONE, done
        line.invariants()


def test_under_jitp_the_ledger_learns_what_aws_did_and_a_given_up_certificate_never_gets_in(
    tmp_path: Path, ca: Path, aws: IoTClient
) -> None:
    authority = unlocked(ca)
    pem = (ca / "ca.crt").read_text()
    proof = authority.prove_possession(aws.get_registration_code()["registrationCode"])
    proof_pem = proof.public_bytes(Encoding.PEM).decode()
    aws.register_ca_certificate(caCertificate=pem, verificationCertificate=proof_pem, setAsActive=True)
    board = load_board("esp32_generic")
    golden = image.build(board, {"endpoint": "a-ats.iot.eu-west-1.amazonaws.com"}, SAMPLE, load_manifest().defaults()).flash
    with FactoryLine(tmp_path, ca, None, golden, RegistrationMode.JITP) as line:
        line.open(2, prefix="jitp")
        line.plug(2)
        assert line.run()["ended"] == {"done": 2}
        assert line.count(State.WAITING) == 2
        first, second = (line.ledger.record(f"jitp-{n}") for n in range(2))

        def cli(*arguments: str) -> str:
            return CliRunner().invoke(command, [*arguments, "--ledger", line.where]).output

        assert "0 disagreements" in cli("reconcile", "monday")
        # The first one connects, and AWS provisions it: here by hand, since that is AWS's side.
        aws.register_certificate(certificatePem=first.certificate_pem or "", caCertificatePem=pem, status="ACTIVE")
        assert "still waiting in the ledger" in cli("reconcile", "monday")
        told = json.loads(cli("reconcile", "monday", "--update", "--json"))
        assert [finding["entered"] for finding in told["findings"]] == [True]
        assert line.ledger.record("jitp-0").state is State.DONE
        # The second one is given up before it ever connected: AWS must not take it when it does.
        assert "revoked in AWS, and scrapped" in cli("scrap", "jitp-1", "--reason", "dropped")
        described = aws.describe_certificate(certificateId=second.certificate_id or "")
        assert described["certificateDescription"]["status"] == "REVOKED"
        assert line.ledger.record("jitp-1").state is State.SCRAPPED
        assert "0 disagreements" in cli("reconcile", "monday")
