"""``rootlet advisor`` as a user types it: what it builds, writes and refuses."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.advisor import devices
from rootlet.cli.main import rootlet

PEERS = Path(__file__).parents[2] / "bench" / "peers"


def test_the_command_builds_runs_and_reports(tmp_path: Path) -> None:
    html, junit = tmp_path / "report.html", tmp_path / "report.xml"
    done = CliRunner().invoke(rootlet, ["advisor", "run", "8", "--html", str(html), "--junit", str(junit)])
    assert done.exit_code == 0, done.output
    assert "pass    MQTT_Connect" in done.output
    assert html.exists()
    assert junit.exists()


def test_a_peer_of_leaf_runs_on_the_virtual_board(tmp_path: Path) -> None:
    """umqtt.simple itself, which writes with a length: an application need not use leaf's session."""
    application = shutil.copytree(PEERS / "umqtt_simple", tmp_path / "app")
    shutil.copy(PEERS / "config_of_image.py", application)
    done = CliRunner().invoke(rootlet, ["advisor", "run", "8", "18", "--app", str(application)])
    assert "2 results: 2 pass" in done.output, done.output


def test_the_largest_message_is_as_large_as_asked_for() -> None:
    done = CliRunner().invoke(rootlet, ["advisor", "run", "9", "--payload-size", "6", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    sent = [event for event in facts["cases"][0]["events"] if event["kind"] == "out" and event["packet"] == "PUBLISH"]
    assert [event["fields"]["bytes"] for event in sent] == [0, 100, 6144]
    assert facts["settings"] == {"PAYLOAD_SIZE": 6}


def test_an_image_for_aws_needs_no_preparation(tmp_path: Path) -> None:
    flash, _, _ = devices.build_image(devices.QUALIFICATION, {"endpoint": "abc-ats.iot.eu-west-1.amazonaws.com"})
    image = tmp_path / "flash.bin"
    image.write_bytes(flash)
    done = CliRunner().invoke(rootlet, ["advisor", "run", "1", "--image", str(image), "--json"])
    assert done.exit_code == 0, done.output
    hello = next(event for event in json.loads(done.stdout)["cases"][0]["events"] if event["kind"] == "hello")
    assert hello["server_name"] == "abc-ats.iot.eu-west-1.amazonaws.com"
    assert image.read_bytes() == flash


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["NoSuchCase"], "unknown case"),
        (["1", "--listen", "8883"], "ADDRESS:PORT"),
        (["1", "--exec", "true {nothing}"], "placeholders"),
        (["1", "--image", "a", "--app", "b"], "more than one device"),
        (["25", "--policy-file", "/dev/null"], "not valid JSON"),
        (["25", "--policy-file", "/no-such.json"], "not found"),
        (["8", "--listen", "127.0.0.1:99999"], "ADDRESS:PORT"),
        (["8", "--listen", "203.0.113.9:8883", "--port", "/dev/null"], "cannot listen on 203.0.113.9"),
        (["8", "--junit", "/no-such-directory/x.xml"], "cannot write /no-such-directory/x.xml"),
        (["8", "--html", "/"], "it is a directory"),
        (["8", "--exec", " "], "the command line is empty"),
        (["8", "--image", "flash.bin", "--config", "config.json"], "--config config.json needs --app"),
        (["23", "--desired-state", "[1]"], "give a JSON object"),
        (["23", "--desired-state", ""], "--desired-state is not valid JSON"),
        (["8", "--trigger-topic", "a"], "TRIGGER_TOPIC is a setting of none of the chosen cases"),
        (["Ours_Takeover", "26", "--execution-timeout", "9"], "EXECUTION_TIMEOUT is a setting of none"),
        (["8", "--suite", "all"], "both cases and a suite are given"),
        (["8", "--hostname", "here"], "--hostname here needs --listen"),
    ],
)
def test_wrong_inputs_are_refused_by_name(arguments: list[str], what: str) -> None:
    done = CliRunner().invoke(rootlet, ["advisor", "run", *arguments])
    assert done.exit_code != 0
    assert what in str(getattr(done.exception, "what", "")) + str(getattr(done.exception, "hint", ""))
