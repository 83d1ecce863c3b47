"""What `rootlet --help` prints runs as it stands, in an empty directory, from nothing to a connected device."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LAUNCHER = f'#!/bin/sh\nexec {sys.executable} -m rootlet.cli.main "$@"\n'


def environment(tmp_path: Path) -> dict[str, str]:
    """A newcomer's: nothing of AWS, `rootlet` on the PATH. Any free ports, for tests run in parallel."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "rootlet").write_text(LAUNCHER)
    (tools / "rootlet").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ROOTLET_CA"))}
    return plain | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "ROOTLET_CA_PASSPHRASE": "correct horse battery",
        "ROOTLET_SANDBOX_API_PORT": "0",
        "ROOTLET_SANDBOX_MQTT_PORT": "0",
    }


def printed_commands(environment: dict[str, str]) -> list[str]:
    """The command lines of the help, without what stands beside them."""
    done = subprocess.run(["rootlet", "--help"], env=environment, capture_output=True, text=True, check=True)
    lines = [line.strip(" │") for line in done.stdout.splitlines()]
    return [re.split(r"\s{2,}", line)[0] for line in lines if re.match(r"rootlet [a-z]", line)]


@contextmanager
def running(command: str, directory: Path, environment: dict[str, str], until: str) -> Iterator[list[str]]:
    """A command in the foreground of another terminal, seen to print ``until``; Ctrl-C ends it."""
    lines: list[str] = []
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                lines.append(line)
                if until in line:
                    break
            else:
                raise AssertionError(f"{command} ended without {until!r}: {''.join(lines)}")
            yield lines
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)


def test_the_printed_flow_ends_with_a_connected_device(tmp_path: Path) -> None:
    world = environment(tmp_path)
    here = tmp_path / "empty"
    here.mkdir()
    commands = printed_commands(world)
    assert [command.split()[1] for command in commands] == ["sandbox", "ca", "device", "cloud", "image", "emulate"]
    told = ""
    with running(commands[0], here, world, "Ctrl-C stops it"):
        for command in commands[1:-1]:
            done = subprocess.run(command, shell=True, cwd=here, env=world, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            told += done.stderr
        with running(commands[-1], here, world, "mqtt: first puback") as log:
            assert any("mqtt: connected as sensor-1" in line for line in log)
    assert told.count("using the sandbox at http://127.0.0.1:") == 2  # to register, and to build
    assert "trusts the sandbox root" in told
    with running(commands[-1], here, world, "no sandbox serves"):
        pass  # the same board, once the sandbox has ended: one clear line
    assert list((tmp_path / "state" / "rootlet" / "sandboxes").iterdir()) == []
