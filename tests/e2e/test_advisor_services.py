"""The advisor's shadow and job cases, on clients that use these services well or badly; and a device on the network."""

import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rootlet.advisor import devices, runner
from rootlet.advisor.chains import Chains
from rootlet.advisor.devices import CommandDevice
from rootlet.advisor.grading import Result
from rootlet.advisor.runner import Runner
from rootlet.advisor.settings import Settings
from rootlet.cli.main import rootlet
from rootlet.packets import Publish

PAHO = """
import json, os, sys, time
import paho.mqtt.client as mqtt
given = {name: os.environ["ROOTLET_ADVISOR_" + name] for name in ("HOST", "PORT", "ROOT", "CERTIFICATE", "KEY", "CLIENT_ID")}
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, given["CLIENT_ID"], clean_session=False)
client.tls_set(given["ROOT"], given["CERTIFICATE"], given["KEY"])
base = "$aws/things/" + given["CLIENT_ID"]
def say(topic, body): client.publish(base + topic, json.dumps(body), 1)
"""
RUN = """
client.on_connect, client.on_message = connected, heard
client.connect(given["HOST"], int(given["PORT"]))
client.loop_forever()
"""
SHADOW = """
def connected(*_):
    client.subscribe(base + "/shadow/update/delta", 1)
    say("/shadow/update", {"state": {"reported": {"lamp": False}}})
def heard(_client, _data, message):
    if %s:
        say("/shadow/update", {"state": {"reported": json.loads(message.payload)["state"]}})
"""
JOB = """
def connected(*_):
    client.subscribe([(base + "/jobs/notify-next", 1), (base + "/jobs/start-next/accepted", 1)])
    say("/jobs/start-next", {"clientToken": "t"})
def heard(_client, _data, message):
    if message.topic.endswith("start-next/accepted"):
        execution = json.loads(message.payload)["execution"]
        say("/jobs/%%s/update" %% execution["jobId"], {"status": "%s"})
"""


def verdict(tmp_path: Path, body: str, name: str, **settings: Any) -> tuple[Result, str]:
    chains = Chains.mint(["localhost"])
    script = tmp_path / "client.py"
    script.write_text(PAHO + textwrap.dedent(body) + RUN)
    device = CommandDevice(f"{sys.executable} {script}", chains)
    try:
        (outcome,) = Runner(device, chains, settings=Settings(**settings)).run(runner.select([name], None))
    finally:
        device.close()
    return outcome.verdict.result, outcome.verdict.evidence


def test_a_device_that_keeps_its_shadow_passes(tmp_path: Path) -> None:
    assert verdict(tmp_path, SHADOW % "True", "Shadow_Publish_Reported_State")[0] is Result.PASS
    result, evidence = verdict(tmp_path, SHADOW % "True", "Shadow_Update_Reported_State")
    assert result is Result.PASS
    assert '"lamp": true' in evidence


def test_a_device_that_finishes_its_job_passes_and_one_that_fails_it_is_warned_about(tmp_path: Path) -> None:
    assert verdict(tmp_path, JOB % "SUCCEEDED", "Job_Execution") == (Result.PASS, "SUCCEEDED")
    assert verdict(tmp_path, JOB % "FAILED", "Job_Execution")[0] is Result.WARN


@pytest.mark.parametrize(
    ("given", "result", "words"),
    [
        ({"reported_state": {"lamp": False}}, Result.PASS, '"lamp": false'),
        ({"reported_state": {"lamp": True}, "execution_timeout": 2}, Result.FAIL, 'REPORTED_STATE {"lamp": true} was not'),
        ({"shadow_name": "room", "execution_timeout": 2}, Result.FAIL, "published no state.reported"),
    ],
)
def test_the_shadow_and_the_state_that_were_asked_for_are_looked_for(
    tmp_path: Path, given: dict[str, Any], result: Result, words: str
) -> None:
    found, evidence = verdict(tmp_path, SHADOW % "True", "Shadow_Publish_Reported_State", **given)
    assert found is result and words in evidence, evidence


def test_the_desired_state_and_the_job_are_those_that_were_given(tmp_path: Path) -> None:
    follows = verdict(tmp_path, SHADOW % "True", "Shadow_Update_Reported_State", desired_state={"fan": 3})
    assert follows[0] is Result.PASS and '{"fan": 3}' in follows[1]
    echo = JOB.replace('"%s"', 'execution["jobDocument"]["end"]') % ()
    assert verdict(tmp_path, echo, "Job_Execution", job_document={"end": "REJECTED"})[1].startswith("REJECTED")


def test_answers_come_on_the_topics_that_the_device_subscribed_to_and_on_no_others(tmp_path: Path) -> None:
    """A client that takes every message for a delta would report its own report back, and again."""
    chains = Chains.mint(["localhost"])
    script = tmp_path / "client.py"
    script.write_text(PAHO + textwrap.dedent(SHADOW % "True") + RUN)
    device = CommandDevice(f"{sys.executable} {script}", chains)
    try:
        (outcome,) = Runner(device, chains).run(runner.select(["Shadow_Update_Reported_State"], None))
    finally:
        device.close()
    sent = [event.packet.topic for event in outcome.events if event.kind == "out" and isinstance(event.packet, Publish)]
    assert [topic.rpartition("/shadow/")[2] for topic in sent] == ["update/delta"]


def test_a_device_on_the_network_is_told_where_to_connect_and_judged(tmp_path: Path) -> None:
    """The roots are kept: what a device was given in one run is good in the next."""
    state = tmp_path / "state"
    chains = Chains.kept(state, ["localhost"])
    script = tmp_path / "client.py"
    script.write_text(PAHO + "def connected(*_): client.subscribe('cmd/a', 1)\ndef heard(*_): pass\n" + RUN)
    with_socket = devices.CommandDevice(f"{sys.executable} {script}", chains)
    port = _free_port()
    stopped = threading.Event()

    def power() -> None:
        while not stopped.wait(0.3):
            if not with_socket.alive:
                with_socket.start(devices.Environment(port, 0))

    thread = threading.Thread(target=power)
    thread.start()
    try:
        arguments = [
            "advisor",
            "run",
            "8",
            "18",
            "--listen",
            f"127.0.0.1:{port}",
            "--hostname",
            "localhost",
            "--state-dir",
            str(state),
        ]
        done = CliRunner().invoke(rootlet, arguments)
    finally:
        stopped.set()
        thread.join()
        with_socket.close()
    assert done.exit_code == 0, done.output
    assert f"endpoint  localhost port {port}" in done.output
    assert "root-rsa.crt" in done.output
    assert (state / "root-rsa.key").stat().st_mode & 0o777 == 0o600
    assert "2 results: 2 pass" in done.output


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
