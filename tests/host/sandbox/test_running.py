"""Commands find the sandbox that runs, say so, and never take it where the user pointed at AWS."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rootlet.errors import BadInput
from rootlet.sandbox import running
from rootlet.sandbox.running import Facts
from rootlet.sandbox.sandbox import Sandbox


def facts(port: int, **changed: str) -> Facts:
    url = f"http://127.0.0.1:{port}"
    whole = {"endpoint": f"x{port}.localhost", "api_url": url, "region": "us-east-1", "root": "r", "chain": "c"} | changed
    return Facts(mqtt_port=port + 1, environment={"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}, **whole)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_running_sandbox_is_found_and_an_ended_one_is_not() -> None:
    assert running.choose({}) is None
    with running.announced(facts(4566)) as path:
        assert running.choose({}) == facts(4566)
        assert running.serving("x4566.localhost", 4567) == facts(4566)
        assert running.serving("x4566.localhost", 8883) is None
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert running.choose({}) is None
    assert not path.exists()


@pytest.mark.parametrize("variable", [*running.POINTERS, "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_IOT"])
def test_whoever_points_at_aws_never_gets_the_sandbox(variable: str) -> None:
    with running.announced(facts(4566)):
        assert running.choose({variable: "https://iot.eu-west-1.amazonaws.com"}) is None
        assert running.pointer({variable: "x"}) == variable
        assert running.choose({variable: ""}) == facts(4566)
        assert running.choose({"AWS_REGION": "eu-west-1"}) == facts(4566)  # a region says not which account


def test_of_several_sandboxes_the_user_chooses_by_its_url() -> None:
    with running.announced(facts(4566)), running.announced(facts(4600)):
        with pytest.raises(
            BadInput, match=r"2 sandboxes are running: http://127.0.0.1:4566, http://127.0.0.1:4600"
        ) as refusal:
            running.choose({})
        assert refusal.value.hint == "choose one: export AWS_ENDPOINT_URL=URL"
        assert running.choose({"AWS_ENDPOINT_URL": "http://127.0.0.1:4600/"}) == facts(4600)


@contextmanager
def announcing_process() -> Iterator[subprocess.Popen[str]]:
    """A process that says it is a sandbox, as one that can be killed."""
    code = (
        "import json, sys; from rootlet.sandbox.running import *\n"
        "with announced(Facts(**json.loads(sys.argv[1]))): print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, json.dumps(facts(4566).as_dict())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_sandbox_that_was_killed_is_refused_by_name_and_its_port_can_be_used_again() -> None:
    with announcing_process() as process:
        assert running.choose({}) == facts(4566)
        process.kill()
        process.wait()
        with pytest.raises(BadInput, match=r"the sandbox at http://127.0.0.1:4566 is no longer running") as refusal:
            running.choose({})
        assert "rootlet sandbox up" in refusal.value.hint
        assert running.choose({"AWS_PROFILE": "work"}) is None
    with running.announced(facts(4566)):
        assert running.choose({}) == facts(4566)


def test_a_file_that_describes_no_sandbox_is_named() -> None:
    running.directory().mkdir(parents=True)
    (running.directory() / "4566.json").write_text('{"endpoint": 1}')
    with pytest.raises(BadInput, match=r"4566\.json does not describe a sandbox"):
        running.choose({})


def rootlet(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-m", "rootlet.cli.main", *arguments]
    return subprocess.run(command, env=plain | environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_cloud_command_says_which_cloud_it_uses(sandbox: Sandbox) -> None:
    with running.announced(sandbox.facts):
        found = rootlet("cloud", "endpoint")
        elsewhere = rootlet("cloud", "endpoint", AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_REGION="eu-west-1")
        profile = rootlet("cloud", "endpoint", AWS_PROFILE="absent", AWS_CONFIG_FILE="/none")
    assert found.stdout.strip() == sandbox.facts.endpoint, found.stderr
    assert found.stderr.strip() == f"using the sandbox at {sandbox.facts.api_url}"
    assert "using AWS_ENDPOINT_URL http://127.0.0.1:9" in elsewhere.stderr
    assert profile.returncode != 0
    assert profile.stderr.startswith("error: the request to AWS failed: The config profile (absent) could not be found")
    assert sandbox.facts.api_url not in elsewhere.stderr + profile.stderr


def test_an_image_for_aws_never_takes_the_sandbox(tmp_path: Path, sandbox: Sandbox) -> None:
    target = tmp_path / "flash.bin"
    with running.announced(sandbox.facts):
        refused = rootlet("image", "build", "-o", str(target), AWS_PROFILE="work")
        config = tmp_path / "config.json"
        config.write_text('{"endpoint": "a-ats.iot.eu-west-1.amazonaws.com"}')
        built = rootlet("image", "build", "--config", str(config), "-o", str(target), "--json")
    assert refused.returncode == 2
    assert "AWS_PROFILE points elsewhere than at a sandbox" in refused.stderr
    assert json.loads(built.stdout)["sandbox_root"] is False
    assert "sandbox" not in built.stderr
