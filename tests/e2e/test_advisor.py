"""The advisor against real clients: leaf on the virtual board, and clients that do what devices should not."""

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rootlet.advisor import cases, devices, page, report, runner
from rootlet.advisor.chains import HOST, Chains
from rootlet.advisor.devices import CommandDevice, VirtualDevice
from rootlet.advisor.grading import Result
from rootlet.advisor.runner import CaseResult, Runner
from rootlet.advisor.settings import Settings
from rootlet.packets import Connack, Connect, Publish

SPEED = 25
BAD = """
import os, socket, ssl, sys, time
given = {name: os.environ["ROOTLET_ADVISOR_" + name] for name in ("HOST", "PORT", "ROOT", "CERTIFICATE", "KEY")}
CONNECT = b"\\x10\\x0d\\x00\\x04MQTT\\x04\\x02\\x00\\x1e\\x00\\x01a"
def connect(verify):
    context = ssl.create_default_context(cafile=given["ROOT"]) if verify else ssl._create_unverified_context()
    context.load_cert_chain(given["CERTIFICATE"], given["KEY"])
    raw = socket.create_connection((given["HOST"], int(given["PORT"])))
    return context.wrap_socket(raw, server_hostname=given["HOST"])
"""


@pytest.fixture(scope="module")
def chains() -> Chains:
    return Chains.mint([HOST, "localhost"])


@pytest.fixture(scope="module")
def leaf(chains: Chains) -> Iterator[VirtualDevice]:
    flash, host, thing = devices.build_image(devices.QUALIFICATION, {})
    device = VirtualDevice(devices.with_roots(flash, chains), host, thing, "leaf")
    yield device
    device.close()


def run(device: devices.DeviceUnderTest, chains: Chains, *names: str, **settings: Any) -> dict[str, CaseResult]:
    given = Settings(policies=devices.own_policies(devices.QUALIFICATION, None), **settings)
    outcomes = Runner(device, chains, speed=SPEED, seed=3, settings=given).run(runner.select(names, None))
    return {outcome.case.id: outcome for outcome in outcomes}


def client(tmp_path: Path, chains: Chains, body: str) -> CommandDevice:
    script = tmp_path / "client.py"
    script.write_text(BAD + textwrap.dedent(body))
    return CommandDevice(f"{sys.executable} {script}", chains)


def verdict(device: devices.DeviceUnderTest, chains: Chains, name: str, **settings: Any) -> tuple[Result, str]:
    (outcome,) = run(device, chains, name, **settings).values()
    device.close()
    return outcome.verdict.result, outcome.verdict.evidence


@pytest.mark.parametrize(
    "name",
    ELEVEN := [
        "TLS_Connect",
        "TLS_Receive_Maximum_Size_Fragments",
        "TLS_Support_AWS_IoT_Cipher_Suites",
        "TLS_Large_Size_Server_Cert",
        "TLS_Unsecure_Server_Cert",
        "TLS_Incorrect_Subject_Name_Server_Cert",
        "TLS_Expired_Server_Cert",
        "MQTT_Connect",
        "MQTT_Connect_Jitter_Backoff_Retries",
        "MQTT_Publish",
        "MQTT_Subscribe",
    ],
)
def test_leaf_qualifies(leaf: VirtualDevice, chains: Chains, name: str) -> None:
    outcome = run(leaf, chains, name)[name]
    assert outcome.verdict.result is Result.PASS, outcome.verdict.evidence


def test_those_are_the_eleven() -> None:
    starred = [one.number for one in cases.catalogue().values() if one.starred]
    assert starred == [1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 18]
    assert sorted(one.number for one in cases.catalogue().values() if one.number) == list(range(1, 27))


@pytest.mark.parametrize(
    "name",
    OTHERS := [
        "MQTT_Client_Puback_QoS1",
        "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection",
        "MQTT_ReconnectionAfterSuccessfulConnection",
        "MQTT_Publish_Retry_No_Puback",
        "MQTT_Subscribe_Retry_No_Suback",
        "MQTT_No_Ack_PingResp",
        "MQTT_Persistent_Session_Happy_Case",
        "MQTT_Expired_Persistent_Session",
        "MQTT_Connect_Exponential_Backoff_Retries",
        "MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect",
        "Shadow_Publish_Reported_State",
        "Shadow_Update_Reported_State",
        "Job_Execution",
        "MQTT_Long_Duration",
        "Ours_Session_Expires_Offline",
        "Ours_Takeover",
        "Ours_Slow_Loris",
        "Ours_Payload_128_KiB",
        "Ours_Payload_128_KiB_And_A_Byte",
        "Ours_Clock_Unset",
        "Ours_DNS_Change",
        "Ours_Root_Rollover",
        "Ours_Huge_Server_Cert",
        "Ours_Split_Packets",
        "Ours_Coalesced_Packets",
        "Ours_Renegotiation",
        "Ours_Silent_Server",
        "Ours_No_Connack",
        "Ours_Malformed_Packet",
        "Ours_Power_Cut",
    ],
)
def test_leaf_passes_the_other_cases(leaf: VirtualDevice, chains: Chains, name: str) -> None:
    outcome = run(leaf, chains, name)[name]
    assert outcome.verdict.result is Result.PASS, outcome.verdict.evidence


def test_the_only_wildcard_of_leafs_policies_is_that_of_job_ids(leaf: VirtualDevice, chains: Chains) -> None:
    verdict = run(leaf, chains, "Security_Device_Policies")["Security_Device_Policies"].verdict
    assert verdict.result is Result.WARN
    found = re.findall(r"topic/(\S+) has a wildcard", verdict.evidence)
    jobs = "$aws/things/${iot:Connection.Thing.ThingName}/jobs/"
    assert found == [jobs + "*/update", jobs + "*/update/rejected"], verdict.evidence


def test_that_was_every_case() -> None:
    assert sorted([*ELEVEN, *OTHERS, "Security_Device_Policies"]) == sorted(cases.catalogue())


@pytest.mark.parametrize(
    "name", ["TLS_Unsecure_Server_Cert", "TLS_Incorrect_Subject_Name_Server_Cert", "TLS_Expired_Server_Cert"]
)
def test_a_client_that_does_not_verify_is_found_out(tmp_path: Path, chains: Chains, name: str) -> None:
    bad = client(tmp_path, chains, "s = connect(False); s.sendall(CONNECT); time.sleep(30)")
    result, evidence = verdict(bad, chains, name)
    assert result is Result.FAIL
    assert "CONNECT" in evidence or "handshake" in evidence


def test_a_client_that_offers_no_suite_of_awss_is_found_out(tmp_path: Path, chains: Chains) -> None:
    bad = client(
        tmp_path,
        chains,
        """
        context = ssl._create_unverified_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("DHE-RSA-AES256-GCM-SHA384")
        context.wrap_socket(socket.create_connection((given["HOST"], int(given["PORT"]))), server_hostname="localhost")
        """,
    )
    result, evidence = verdict(bad, chains, "TLS_Support_AWS_IoT_Cipher_Suites")
    assert result is Result.FAIL
    assert "0x009F" in evidence


@pytest.mark.parametrize(
    ("suites", "words"),
    [
        ("AES128-SHA", "none of those that AWS recommends"),
        ("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA", "AWS IoT does not support 0x0039"),
        ("ECDHE-RSA-AES128-GCM-SHA256:NULL-SHA256", "AWS IoT does not support 0x003B"),
    ],
)
def test_a_client_that_also_offers_what_it_should_not_is_warned_about(
    tmp_path: Path, chains: Chains, suites: str, words: str
) -> None:
    bad = client(
        tmp_path,
        chains,
        f"""
        context = ssl._create_unverified_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("{suites}:@SECLEVEL=0")
        context.wrap_socket(socket.create_connection((given["HOST"], int(given["PORT"]))), server_hostname="localhost")
        """,
    )
    result, evidence = verdict(bad, chains, "TLS_Support_AWS_IoT_Cipher_Suites")
    assert result is Result.WARN
    assert words in evidence


def test_a_case_of_awss_ends_at_its_execution_timeout(leaf: VirtualDevice, chains: Chains) -> None:
    name = "MQTT_Connect_Jitter_Backoff_Retries"
    assert cases.catalogue()[name].time_limit(Settings()) == 300
    outcome = run(leaf, chains, name, execution_timeout=40)[name]
    assert outcome.verdict.result is Result.FAIL
    assert outcome.verdict.evidence.startswith("the case was ended after 40 s (EXECUTION_TIMEOUT); until then: ")
    assert max(event.at for event in outcome.events) < 45


def test_the_server_disconnects_at_once_and_as_often_as_asked_for(leaf: VirtualDevice, chains: Chains) -> None:
    success, unstable = (
        "MQTT_ReconnectionAfterSuccessfulConnection",
        "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection",
    )
    outcomes = run(leaf, chains, success, unstable, reconnection_attempts=5)
    events = outcomes[success].events
    connack = next(event for event in events if event.packet == Connack())
    closed = next(event for event in events if event.kind == "closed")
    assert closed.facts["by"] == "server" and closed.at - connack.at < 1
    assert outcomes[success].verdict.result is Result.PASS
    assert len([event for event in outcomes[unstable].events if isinstance(event.packet, Connect)]) == 6


@pytest.mark.parametrize(
    ("topic", "limit", "result"),
    [("cmd/leaf/advisor-1/request", 60, Result.PASS), ("somebody/elses", 2, Result.FAIL)],
)
def test_messages_come_on_the_trigger_topic(
    leaf: VirtualDevice, chains: Chains, topic: str, limit: int, result: Result
) -> None:
    given = {"trigger_topic": topic, "execution_timeout": limit}
    outcome = run(leaf, chains, "TLS_Receive_Maximum_Size_Fragments", **given)["TLS_Receive_Maximum_Size_Fragments"]
    assert outcome.verdict.result is result, outcome.verdict.evidence
    sent = {event.packet.topic for event in outcome.events if event.kind == "out" and isinstance(event.packet, Publish)}
    assert sent == ({topic} if result is Result.PASS else set())


def test_the_long_test_has_the_scenarios_that_were_asked_for(leaf: VirtualDevice, chains: Chains) -> None:
    given = {"operations": ("PUBLISH",), "scenarios": ("KEEP_ALIVE",)}
    outcome = run(leaf, chains, "MQTT_Long_Duration", **given)["MQTT_Long_Duration"]
    assert outcome.verdict.result is Result.PASS, outcome.verdict.evidence
    assert [event.text for event in outcome.events if event.kind == "note" and event.text.isupper()] == [
        "OPERATIONS",
        "KEEP_ALIVE",
    ]


def test_a_client_that_sends_nonsense_for_connect_is_found_out(tmp_path: Path, chains: Chains) -> None:
    bad = client(
        tmp_path, chains, 's = connect(True); s.sendall(CONNECT.replace(b"\\x04\\x02", b"\\x09\\x02")); time.sleep(9)'
    )
    result, evidence = verdict(bad, chains, "MQTT_Connect")
    assert result is Result.FAIL
    assert "level 9" in evidence


def test_a_client_that_hurries_back_is_found_out(tmp_path: Path, chains: Chains) -> None:
    bad = client(
        tmp_path,
        chains,
        """
        while True:
            try:
                s = connect(True); s.sendall(CONNECT)
                while s.recv(100): pass
            except OSError: pass
        """,
    )
    result, evidence = verdict(bad, chains, "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection")
    assert result is Result.FAIL
    assert "constant" in evidence


def test_a_client_that_ends_at_once_is_not_waited_for(tmp_path: Path, chains: Chains) -> None:
    result, evidence = verdict(client(tmp_path, chains, ""), chains, "MQTT_Publish")
    assert result is Result.FAIL
    assert "ended" in evidence


def test_the_same_seed_gives_the_same_waits(leaf: VirtualDevice, chains: Chains) -> None:
    name = "MQTT_Connect_Exponential_Backoff_Retries"
    first, second = (_pauses(run(leaf, chains, name)[name]) for _ in range(2))
    assert first[:4] == second[:4]
    assert len(first) >= 4


def _pauses(outcome: CaseResult) -> list[str]:
    return [line.split("backoff: ")[1].split(" ms")[0] for line in outcome.output if "backoff: " in line]


def test_every_report_tells_the_same(leaf: VirtualDevice, chains: Chains) -> None:
    outcomes = list(run(leaf, chains, "MQTT_Connect", "TLS_Unsecure_Server_Cert", "Security_Device_Policies").values())
    facts = json.loads(json.dumps(report.facts(outcomes, leaf.description, SPEED, 3), default=str))
    assert (facts["results"]["pass"], facts["results"]["warn"]) == (2, 1)
    kinds = {event["kind"] for case in facts["cases"] for event in case["events"]}
    assert {"tcp", "hello", "tls", "alert-in", "in", "out", "closed"} <= kinds
    suite = ElementTree.fromstring(report.junit(outcomes, leaf.description))
    assert suite.get("tests") == "3"
    assert {element.get("name") for element in suite.iter("testcase")} == {case["id"] for case in facts["cases"]}
    html = page.render(facts)
    assert html.count("<svg") == 2  # nothing connects for the policies
    assert "unknown_ca" in html
    assert "http" not in html.replace("http-equiv", "")  # it needs nothing from anywhere


RESETS = (Path(__file__).parents[1] / "apps" / "resets.py").read_text()


def test_a_board_that_resets_itself_has_not_ended(tmp_path: Path, chains: Chains) -> None:
    application = tmp_path / "main.py"
    application.write_text(RESETS)
    flash, host, thing = devices.build_image(application, {})
    board = VirtualDevice(devices.with_roots(flash, chains), host, thing, "resets itself")
    result, evidence = verdict(board, chains, "Ours_Malformed_Packet")
    assert result is Result.PASS, evidence
    assert len([line for line in board.lines if "identity: " in line]) == 2


def test_a_client_that_falls_over_is_quoted(tmp_path: Path, chains: Chains) -> None:
    result, evidence = verdict(client(tmp_path, chains, "import no_such_module"), chains, "MQTT_Connect")
    assert result is Result.FAIL
    assert "no connection" in evidence and "No module named 'no_such_module'" in evidence


def test_a_device_that_does_not_come_so_far_is_quoted(chains: Chains) -> None:
    flash, host, thing = devices.build_image(devices.QUALIFICATION, {})
    result, evidence = verdict(VirtualDevice(flash, host, thing, "without the advisor's roots"), chains, "MQTT_Connect")
    assert result is Result.FAIL
    assert "no handshake" in evidence and "the device reported: " in evidence and "fault: tls-untrusted-root" in evidence


def test_an_interrupted_run_keeps_what_it_has_seen(tmp_path: Path) -> None:
    reports = {name: tmp_path / f"report.{name}" for name in ("junit", "html")}
    command = [
        sys.executable,
        "-m",
        "rootlet.cli.main",
        "advisor",
        "run",
        "MQTT_Connect",
        "MQTT_No_Ack_PingResp",
        "--speed",
        "1",
    ]
    command += [part for name, path in reports.items() for part in (f"--{name}", str(path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("pass    MQTT_Connect")
        running.send_signal(signal.SIGINT)
        output = running.communicate(timeout=30)
    assert running.returncode == 130, output
    assert "1 pass" in output[0] and "interrupted" in output[1]
    assert all("MQTT_Connect" in path.read_text() for path in reports.values())


def test_a_run_interrupted_in_its_first_case_keeps_that_ones_packets(tmp_path: Path) -> None:
    """The client says by a file that it has its CONNACK, and waits."""
    script, connected, html = tmp_path / "client.py", tmp_path / "connected", tmp_path / "report.html"
    script.write_text(
        BAD + f"s = connect(True); s.sendall(CONNECT); s.recv(4); open({str(connected)!r}, 'w').close(); s.recv(1)"
    )
    command = [sys.executable, "-m", "rootlet.cli.main", "advisor", "run", "MQTT_Publish", "MQTT_Subscribe", "--json"]
    command += ["--exec", f"{sys.executable} {script}", "--html", str(html)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not connected.exists():
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        output = running.communicate(timeout=30)
    assert running.returncode == 130, output
    (case,) = json.loads(output[0])["cases"]
    assert case["result"] == "not run" and case["evidence"].startswith("interrupted, after ")
    assert [event["packet"] for event in case["events"] if event["kind"] in ("in", "out")] == ["CONNECT", "CONNACK"]
    assert "CONNACK" in html.read_text()
