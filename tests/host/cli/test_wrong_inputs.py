"""Bad input gets one clear error that names the thing and gives a hint, and nothing is left half-written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rootlet import resources

SAMPLE = str(resources.FIRMWARE / "apps" / "sample")
BUILD = ["image", "build", "--config", "config.json", "--app", SAMPLE]


def rootlet(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROOTLET_"))}
    return subprocess.run(
        [sys.executable, "-m", "rootlet.cli.main", *arguments],
        env=plain | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "none"} | environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["ca", "create", "ca", "--days", "0"], "0 days"),
        (["ca", "create", "ca", "--country", "GERMANY"], "country"),
        (["device", "issue", "bad name", "--ca", "nowhere"], "bad name"),
        (["device", "issue", "sensor-1", "--ca", "nowhere"], "nowhere"),
        ([*BUILD, "--board", "nope", "-o", "flash.bin"], "unknown board 'nope'"),
        ([*BUILD, "--root", "nope", "-o", "flash.bin"], "unknown root 'nope'"),
        ([*BUILD, "--device", "nope", "-o", "flash.bin"], "nope"),
        ([*BUILD, "-o", "missing/flash.bin"], "missing/flash.bin"),
        (["image", "build", "--config", "wrong.json", "--app", SAMPLE, "-o", "flash.bin"], "endpiont"),
        (["image", "build", "--config", "config.json", "--app", "bad.py", "-o", "flash.bin"], "bad.py does not compile"),
        (["image", "inspect", "config.json"], "partition table"),
        (["emulate", "config.json"], "not a flash size"),
        (["emulate", "missing.bin"], "missing.bin"),
        (["emulate", "missing.bin", "--chip"], "missing.bin"),
        (["emulate", "missing.bin", "--chip", "--heapsize", "96K"], "--heapsize"),
        (["emulate", "missing.bin", "--qemu", "."], "--qemu"),
        (["emulate", "missing.bin", "--no-restart", "--max-resets", "2"], "--max-resets 2"),
        (["sandbox", "up", "--mqtt-port", "99999"], "99999"),
        (["cloud", "register", "nowhere"], "nowhere"),
        (["cloud", "endpoint"], "region"),
        (["cloud", "command", "sensor-1", "echo", "{bad"], "not valid JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_is_one_error_and_leaves_nothing(tmp_path: Path, arguments: list[str], named: str) -> None:
    (tmp_path / "config.json").write_text('{"endpoint": "x.localhost"}')
    (tmp_path / "wrong.json").write_text('{"endpiont": "x.localhost"}')
    (tmp_path / "bad.py").write_text("def x(:\n")
    before = sorted(tmp_path.rglob("*"))
    done = rootlet(tmp_path, *arguments, ROOTLET_CA_PASSPHRASE="correct horse")
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_source_date_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"endpoint": "x.localhost"}')
    done = rootlet(tmp_path, *BUILD, "-o", "flash.bin", SOURCE_DATE_EPOCH="yesterday")
    assert done.returncode == 2
    assert "SOURCE_DATE_EPOCH" in done.stderr


def test_help_explains_the_flow_without_colour_where_there_is_no_terminal(tmp_path: Path) -> None:
    done = rootlet(tmp_path, "--help")
    assert done.returncode == 0
    for step in ("ca create", "device issue", "sandbox up", "cloud register", "image build", "emulate"):
        assert f"rootlet {step}" in done.stdout
    assert "\x1b" not in done.stdout


def test_every_listed_command_shows_its_help(tmp_path: Path) -> None:
    from rootlet.cli.main import COMMANDS

    for name in COMMANDS:
        done = rootlet(tmp_path, name, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: rootlet" in done.stdout
