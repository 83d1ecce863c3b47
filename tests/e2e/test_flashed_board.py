"""From a factory-fresh chip to a connected device: the virtual board boots what the bootloader received."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.sandbox.sandbox import Sandbox
from support.device import SAMPLE, BuiltDevice
from support.download_mode import DownloadMode


def rootlet(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "rootlet.cli.main", *arguments]
    done = subprocess.run(command, cwd=directory, env=os.environ, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_fresh_chip_flashed_by_command_connects_to_the_cloud(
    tmp_path: Path, sandbox: Sandbox, aws: IoTClient, authority: Authority
) -> None:
    authority.issue("flashed-1").save(tmp_path / "devices" / "flashed-1")
    identity = DeviceIdentity.load(tmp_path / "devices" / "flashed-1")
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    facts = sandbox.facts
    (tmp_path / "config.json").write_text(json.dumps({"endpoint": facts.endpoint, "port": facts.mqtt_port}))
    golden = ["image", "build", "--config", "config.json", "--app", str(SAMPLE), "--sandbox-root", facts.root]
    rootlet(tmp_path, *golden, "-o", "golden.bin")
    device = BuiltDevice(tmp_path, identity, {}, resolve={facts.endpoint: "127.0.0.1"})
    with DownloadMode() as chip:
        rootlet(tmp_path, "flash", "golden.bin", "--bare", "--thing", "flashed-1", "--port", chip.port)
        told = json.loads(rootlet(tmp_path, "info", "--port", chip.port, "--json"))
        device.flash.write_bytes(chip.flash)
    assert "flashed-1" in json.dumps(told)
    assert identity.certificate_id in json.dumps(told)
    with device.boot() as board:
        assert board.wait_for(r"identity: thing (\S+),").group(1) == "flashed-1"
        board.wait_for(r"mqtt: first puback")
