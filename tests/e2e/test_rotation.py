"""A device gets a new certificate: it can connect before, between and after, and never with the retired one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice, fault_line

MakeDevice = Callable[[str], BuiltDevice]
PASSPHRASE = "correct horse battery staple"


def test_a_rotation_by_its_two_commands_with_the_board_between_them(
    registered: MakeDevice, aws: IoTClient, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTLET_CA_PASSPHRASE", PASSPHRASE)
    ca = tmp_path / "new-ca"
    Authority.create(ca, PASSPHRASE.encode(), name="Next CA", subject=Subject())
    device = registered("turning-1")
    directory = tmp_path / "turning-1"
    assert device.identity
    device.identity.save(directory)
    device.build()
    facts = sandbox.facts
    begin = ["rotate", str(directory), "--ca", str(ca), "--address", "127.0.0.1", "--mqtt-port", str(facts.mqtt_port)]
    untrusted = CliRunner().invoke(cloud, begin).exception
    assert isinstance(untrusted, RootletError)
    assert "is not trusted" in untrusted.what
    begin += ["--root", str(sandbox.root_pem)]
    finish = ["rotate", str(directory), "--finish", "--image", str(device.flash)]

    result = CliRunner().invoke(cloud, begin)
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "nothing to change" in CliRunner().invoke(cloud, begin).output
    refusal = CliRunner().invoke(cloud, finish).exception
    assert isinstance(refusal, RootletError)
    assert "not the new" in refusal.what
    with device.boot() as board:
        board.wait_for("telemetry: climate acknowledged")  # the old one still does

    old, device.identity = device.identity, DeviceIdentity.load(directory / "next")
    device.build()
    result = CliRunner().invoke(cloud, finish)
    assert result.exit_code == 0, result.output + repr(result.exception)
    with device.boot() as board:
        board.wait_for("telemetry: climate acknowledged")
    device.identity = old
    device.build()
    with device.boot() as board:
        fault_line(board, "device-certificate-refused")
