"""A device is registered for what its application does, and it is said beforehand what a policy would deny."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mypy_boto3_iot import IoTClient
from rootlet import resources
from rootlet.errors import BadInput, RootletError
from rootlet.pki.authority import Authority

Run = Callable[..., Result]
PAGE = (resources.FIRMWARE.parent / "docs" / "firmware.md").read_text()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The first example of the firmware page."""
    (tmp_path / "my_app").mkdir()
    (tmp_path / "my_app" / "main.py").write_text(PAGE.split("```python\n")[1].partition("```")[0])
    return tmp_path / "my_app"


@pytest.fixture
def run(aws: IoTClient) -> Run:
    from rootlet.cli.cloud.group import command

    return lambda *arguments: CliRunner().invoke(command, [*map(str, arguments)])


def explain(*arguments: str | Path) -> Result:
    from rootlet.cli.identity.device import command

    return CliRunner().invoke(command, ["explain", *map(str, arguments)])


def device(authority: Authority, directory: Path, thing: str) -> Path:
    authority.issue(thing).save(directory / thing)
    return directory / thing


def line_of(text: str) -> int:
    return PAGE.split("```python\n")[1][: PAGE.split("```python\n")[1].index(text)].count("\n") + 1


def test_a_policy_made_for_the_application_allows_all_that_it_does(
    run: Run, app: Path, authority: Authority, tmp_path: Path
) -> None:
    own = device(authority, tmp_path, "apt-1")
    done = run("register", own, "--app", app, "--application", "apt")
    assert done.exit_code == 0, done.output + repr(done.exception)
    checked = run("policy", "check", "rootlet-apt", "--app", app, "--application", "apt", "--json")
    assert [finding["level"] for finding in json.loads(checked.stdout)] == ["warning"]  # fleet/news is everybody's
    assert "ok  application all that it publishes" in explain(own, "--app", app, "--application", "apt").output


def test_what_the_default_policy_denies_is_said_with_its_line(
    run: Run, app: Path, authority: Authority, tmp_path: Path
) -> None:
    own = device(authority, tmp_path, "inept-1")
    assert run("register", own, "--application", "inept").exit_code == 0
    refused = explain(own, "--app", app, "--application", "inept")
    assert refused.exit_code == 1
    meter = (
        f"iot:Publish on topic/dt/inept/inept-1/meter is denied; main.py:{line_of('@device.telemetry(every=900')} needs it"
    )
    news = f"main.py:{line_of('@device.subscribe')}"
    assert meter in refused.output
    assert f"iot:Subscribe on topicfilter/fleet/news is denied; {news} needs it" in refused.output
    checked = run("policy", "check", "rootlet-inept", "--app", app, "--application", "inept")
    assert isinstance(checked.exception, RootletError)
    assert "iot:Publish on topic/dt/inept/THING/meter is denied" in checked.output
    assert "dt/inept/THING/climate" not in checked.output


def test_the_services_of_an_application_come_with_it(run: Run, authority: Authority, tmp_path: Path) -> None:
    qualification = resources.FIRMWARE / "apps" / "qualification"
    own = device(authority, tmp_path, "served-1")
    done = json.loads(run("register", own, "--app", qualification, "--application", "served", "--json").stdout)
    assert sorted(done["policies"]) == ["rootlet-served", "rootlet_jobs", "rootlet_shadow"]
    assert explain(own, "--app", qualification, "--application", "served").exit_code == 0
    alone = run("policy", "check", "rootlet-served", "--app", qualification, "--application", "served")
    assert "$aws/things/THING/shadow/get is denied" in alone.output
    whole = run("policy", "check", *done["policies"], "--app", qualification, "--application", "served")
    assert whole.exit_code == 0, whole.output


def test_what_the_source_does_not_say_is_refused_before_anything_is_registered(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    own = device(authority, tmp_path, "unclear-1")
    source = tmp_path / "app.py"
    source.write_text("from leaf import Device\ndevice = Device()\nfor n in 'ab':\n    device.record(n, {})\n")
    refused = run("register", own, "--app", source)
    assert isinstance(refused.exception, BadInput)
    assert "app.py:4: the stream of record()" in refused.exception.what
    assert "--stream NAME" in refused.exception.hint
    named = run("register", own, "--app", source, "--stream", "a", "--stream", "b", "--application", "unclear")
    assert named.exit_code == 0, repr(named.exception)
    assert "not in the policy unless you name it: app.py:4" in named.stderr


def test_a_policy_that_is_attached_as_it_is_takes_nothing_from_an_application(run: Run, app: Path, tmp_path: Path) -> None:
    refused = run("register", tmp_path, "--app", app, "--policy", "ours")
    assert isinstance(refused.exception, BadInput)
    assert "rootlet cloud policy check ours --app" in refused.exception.hint


def test_a_rendered_policy_names_the_services_that_need_their_own(run: Run) -> None:
    prefix = "arn:aws:iot:eu-west-1:123456789012"
    qualification = resources.FIRMWARE / "apps" / "qualification"
    done = run("policy", "render", "--app", qualification, "--arn-prefix", prefix)
    assert f"{prefix}:topic/dt/leaf/${{iot:Connection.Thing.ThingName}}/reading" in done.stdout
    assert "climate" not in done.stdout
    assert "rootlet cloud policy render --service jobs" in done.stderr
