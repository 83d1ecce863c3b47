"""Many devices at once: at AWS's pace, resumed, and each account with a journal of its own."""

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import bulk, journal, registration
from rootlet.errors import RootletError
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from support.cloud_commands import run, status


def many(authority: Authority, directory: Path, name: str, count: int = 4) -> list[DeviceIdentity]:
    made = [authority.issue(f"{name}-{number}") for number in range(count)]
    for identity in made:
        identity.save(directory / identity.thing)
    return made


def register_all(directory: Path, *options: str) -> dict[str, Any]:
    answer = run("register-all", directory, "--json", *options)
    assert answer.exit_code == 0, answer.output
    result: dict[str, Any] = json.loads(answer.stdout)
    return result


def test_many_devices_are_registered_and_what_is_done_is_not_asked_again(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    devices = many(authority, tmp_path / "devices", "many")
    first = register_all(tmp_path / "devices")
    assert first == {"registered": 4, "before": 0, "mended": [], "failed": [], "notice": ""}
    place = tmp_path / "devices" / "registered.jsonl"
    lines = place.read_text().splitlines()
    place.write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])  # a crash in the third device's line
    again = register_all(tmp_path / "devices")
    assert (again["before"], again["registered"], again["notice"]) == (2, 2, "")
    assert all(status(aws, device) == "ACTIVE" for device in devices)


@pytest.mark.parametrize("how", ["region", "options", "nameless"])
def test_a_journal_of_something_else_does_not_count(
    aws: IoTClient, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    devices = tmp_path / "devices"
    made = many(authority, devices, f"elsewhere-{how}", 2)
    place = devices / "registered.jsonl"
    assert register_all(devices)["registered"] == 2
    if how == "nameless":  # of an earlier version
        place.write_text("".join(line + "\n" for line in place.read_text().splitlines()[1:]))
    if how == "region":
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
    elsewhere = boto3.client("iot")
    assert (status(elsewhere, made[0]) == "ACTIVE") == (how != "region")
    again = register_all(devices, *(["--service", "jobs"] if how == "options" else []))
    assert (again["before"], again["registered"]) == (0, 2)
    about = {"region": "another endpoint", "options": 'another services ([], now ["jobs"])', "nameless": "does not say"}
    assert about[how] in again["notice"] and "began afresh" in again["notice"]
    assert all(status(elsewhere, identity) == "ACTIVE" for identity in made)
    assert len(list(devices.glob("registered.jsonl.replaced-*"))) == 1


def test_an_account_that_lost_its_state_is_noticed_and_verify_finds_what_one_device_lacks(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    devices = tmp_path / "devices"
    made = many(authority, devices, "lost")
    register_all(devices)
    principal = aws.list_thing_principals(thingName="lost-2")["principals"][0]
    aws.detach_thing_principal(thingName="lost-2", principal=principal)
    assert register_all(devices)["notice"] == "", "only the certificates of a sample are looked up"
    verified = register_all(devices, "--verify")
    assert (verified["mended"], verified["registered"], verified["before"]) == (["lost-2"], 0, 4)
    assert aws.list_thing_principals(thingName="lost-2")["principals"] == [principal]
    assert register_all(devices, "--verify")["mended"] == []
    run("delete", devices / "lost-1")
    assert "does not know 1 of 4" in register_all(devices)["notice"]
    for number in (0, 2, 3):
        run("delete", devices / f"lost-{number}")
    again = register_all(devices)
    assert "does not know 4 of 4" in again["notice"] and again["registered"] == 4
    assert all(status(aws, identity) == "ACTIVE" for identity in made)


def test_of_two_runs_at_once_one_is_refused(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    many(authority, tmp_path / "devices", "twice", 1)
    about = journal.purpose(aws, registration.RegistrationRequest())
    with journal.opened(tmp_path / "devices" / "registered.jsonl", about):
        error = run("register-all", tmp_path / "devices").exception
    assert isinstance(error, RootletError) and "another run" in error.what
    assert register_all(tmp_path / "devices")["registered"] == 1


def test_one_bad_device_does_not_hold_up_the_others(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    for number in range(3):
        authority.issue(f"bad-{number}").save(tmp_path / "devices" / f"bad-{number}")
    revoked = DeviceIdentity.load(tmp_path / "devices" / "bad-1")
    registration.register(aws, revoked, registration.RegistrationRequest("leaf", ["climate"]))
    aws.update_certificate(certificateId=revoked.certificate_id, newStatus="REVOKED")
    result = run("register-all", tmp_path / "devices", "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["registered"] == 2
    assert [failure["thing"] for failure in answer["failed"]] == ["bad-1"]


def test_the_token_bucket_lets_a_seconds_worth_through_at_once_and_then_keeps_the_pace() -> None:
    now = 0.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waits.append(seconds)

    bucket = bulk.TokenBucket(10, lambda: now, sleep)
    for _ in range(30):
        bucket.take()
    assert len(waits) == 20
    assert sum(waits) == pytest.approx(2.0)
    now += 60
    for _ in range(10):
        bucket.take()
    assert len(waits) == 20  # a long rest saves up no more than a second's worth


def test_a_paced_client_keeps_each_operation_below_its_limit(aws: IoTClient) -> None:
    iot = bulk.paced({"DescribeEndpoint": 20})
    started = time.monotonic()
    for _ in range(30):
        iot.describe_endpoint(endpointType="iot:Data-ATS")
    assert time.monotonic() - started > 0.4  # 20 at once, 10 more at 20 a second
