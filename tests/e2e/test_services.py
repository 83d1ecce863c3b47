"""The services of AWS IoT on the device: its shadow, and its jobs, against the sandbox's."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from support.device import BuiltDevice

ENDED = ("SUCCEEDED", "FAILED", "REJECTED", "CANCELED")
T = TypeVar("T")
MakeDevice = Callable[[str], BuiltDevice]
UseServices = Callable[..., BuiltDevice]

THERMOSTAT = (Path(__file__).parents[1] / "apps" / "thermostat.py").read_text()

WORKER = (Path(__file__).parents[1] / "apps" / "worker.py").read_text()


@pytest.fixture
def using(make_device: MakeDevice, aws: IoTClient, tmp_path: Path) -> UseServices:
    """A device that runs this application, and whose policy allows these services."""

    def make(thing: str, source: str, *services: str) -> BuiltDevice:
        device = make_device(thing)
        assert device.identity
        registration.register(aws, device.identity, registration.RegistrationRequest(thing, ["climate"], services=services))
        device.config = {**device.config, "application": thing}
        device.application = tmp_path / f"{thing}.py"
        device.application.write_text(source)
        return device

    return make


class Cloud:
    """The other side of a shadow and of jobs."""

    def __init__(self, iot: IoTClient, thing: str, name: str | None = None) -> None:
        self.iot, self.thing = iot, thing
        self._data = boto3.client("iot-data")
        self._names: dict[str, Any] = {"thingName": thing} | ({"shadowName": name} if name else {})

    def desire(self, **values: Any) -> None:
        self._data.update_thing_shadow(**self._names, payload=json.dumps({"state": {"desired": values}}))

    def reported(self) -> dict[str, Any]:
        try:
            found = json.loads(self._data.get_thing_shadow(**self._names)["payload"].read())
        except self._data.exceptions.ResourceNotFoundException:
            return {}
        state: dict[str, Any] = found["state"].get("reported", {})
        return state

    def queue(self, job: str, document: dict[str, Any]) -> None:
        target = self.iot.describe_thing(thingName=self.thing)["thingArn"]
        self.iot.create_job(jobId=job, targets=[target], document=json.dumps(document))

    def execution(self, job: str) -> tuple[str, dict[str, str]]:
        found = self.iot.describe_job_execution(jobId=job, thingName=self.thing)["execution"]
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})


def eventually(read: Callable[[], T], good: Callable[[T], bool], timeout: float = 20) -> T:
    """What ``read`` says as soon as it is ``good``; the cloud tells nobody when a shadow has changed by HTTP."""
    deadline = time.monotonic() + timeout
    while not good(value := read()):
        assert time.monotonic() < deadline, value
        time.sleep(0.05)
    return value


@pytest.mark.parametrize("name", [None, "room"])
def test_a_device_takes_the_desired_state_and_reports_what_it_took(
    using: UseServices, aws: IoTClient, name: str | None
) -> None:
    thing = f"shadow-{name}"
    source = THERMOSTAT.replace("NAME = None", f"NAME = {name!r}") if name else THERMOSTAT
    device = using(thing, source, f"shadow:{name}" if name else "shadow")
    cloud = Cloud(aws, thing, name)
    with device.boot():
        first = eventually(cloud.reported, bool)
        assert first == {"firmware": "2.0", "target_c": 20, "plan": {"day": 21, "night": 17}}
        cloud.desire(target_c=22.4, plan={"night": 16})
        both = {"target_c": 22, "plan": {"day": 21, "night": 16}}
        eventually(cloud.reported, lambda state: state.items() >= both.items())
        cloud.desire(target_c=99)
        refused = eventually(cloud.reported, lambda state: "refused" in state)
        assert refused["refused"] == {"target_c": "ValueError: 30 at most"}
        assert refused["target_c"] == 22
        cloud.desire(target_c=23)
        taken = eventually(cloud.reported, lambda state: state["target_c"] == 23)
        assert "refused" not in taken


def test_what_was_desired_while_the_device_was_off_is_taken_at_its_next_connection(
    using: UseServices, aws: IoTClient
) -> None:
    device = using("shadow-off", THERMOSTAT, "shadow")
    cloud = Cloud(aws, "shadow-off")
    with device.boot():
        eventually(cloud.reported, bool)
    cloud.desire(target_c=18)
    with device.boot() as board:
        board.wait_for("target is 18")
        eventually(cloud.reported, lambda state: state["target_c"] == 18)
        board.wait_for("shadow: kept")
    # Without a network it starts with what it took last.
    device.resolve = {}
    with device.boot() as board:
        board.wait_for("target is 18")


def test_a_reported_state_that_somebody_else_changed_is_put_right(using: UseServices, aws: IoTClient) -> None:
    device = using("shadow-put", THERMOSTAT, "shadow")
    cloud = Cloud(aws, "shadow-put")
    with device.boot():
        eventually(cloud.reported, bool)
    wrong = {"target_c": 5, "plan": {"weekend": 12}, "owner": "gateway"}
    boto3.client("iot-data").update_thing_shadow(thingName="shadow-put", payload=json.dumps({"state": {"reported": wrong}}))
    right = {"firmware": "2.0", "target_c": 20, "plan": {"day": 21, "night": 17}, "owner": "gateway"}
    with device.boot():
        eventually(cloud.reported, lambda state: state == right)


def test_jobs_are_done_one_after_the_other_and_each_ends_with_what_came_of_it(using: UseServices, aws: IoTClient) -> None:
    device = using("jobs-1", WORKER, "jobs")
    cloud = Cloud(aws, "jobs-1")
    cloud.queue("good", {"operation": "calibrate", "offset": 4})
    cloud.queue("bad", {"operation": "fail"})
    with device.boot():
        cloud.queue("no", {"operation": "refuse"})
        cloud.queue("long", {"operation": "hang"})
        cloud.queue("odd", {"steps": []})
        jobs = ("good", "bad", "no", "long", "odd")
        ended = {job: eventually(partial(cloud.execution, job), lambda found: found[0] in ENDED) for job in jobs}
    assert ended["good"] == ("SUCCEEDED", {"offset": "8"})
    assert ended["bad"] == ("FAILED", {"reason": "OSError: [Errno 5] EIO"})
    assert ended["no"] == ("REJECTED", {"reason": "not by night"})
    assert ended["long"] == ("FAILED", {"reason": "no end in 1 s"})
    assert ended["odd"][0] == "REJECTED"
    assert "calibrate, fail, hang" in ended["odd"][1]["reason"]


def test_a_job_that_a_reboot_interrupted_goes_on_and_is_not_begun_twice(using: UseServices, aws: IoTClient) -> None:
    device = using("jobs-2", WORKER, "jobs")
    cloud = Cloud(aws, "jobs-2")
    with device.boot() as board:
        cloud.queue("again", {"operation": "restart"})
        board.wait_for("restart, resumed: True")
        assert eventually(lambda: cloud.execution("again")[0], lambda status: status != "IN_PROGRESS") == "SUCCEEDED"
    assert [line for line in board.lines if "restart, resumed" in line] == [
        "restart, resumed: False",
        "restart, resumed: True",
    ]


def test_a_job_that_was_cancelled_in_the_cloud_does_not_hold_up_the_next(using: UseServices, aws: IoTClient) -> None:
    device = using("jobs-3", WORKER.replace("timeout=1", "timeout=4"), "jobs")
    cloud = Cloud(aws, "jobs-3")
    with device.boot() as board:
        cloud.queue("stuck", {"operation": "hang"})
        board.wait_for("jobs: stuck begins")
        aws.cancel_job(jobId="stuck", force=True)
        cloud.queue("next", {"operation": "calibrate", "offset": 1})
        eventually(lambda: cloud.execution("next")[0], lambda status: status == "SUCCEEDED")
        assert cloud.execution("stuck")[0] == "CANCELED"
        board.wait_for("fault: job-rejected: ")


def test_a_policy_without_the_services_costs_the_device_nothing_else(using: UseServices, aws: IoTClient) -> None:
    device = using("shadow-denied", THERMOSTAT.replace("device.run()", TELEMETRY))
    with device.boot() as board:
        board.wait_for("is set aside for 10 s of connection", timeout=60)
        board.wait_for("telemetry: climate acknowledged", timeout=30)


TELEMETRY = """
@device.telemetry(every=1)
def climate():
    return {"temperature_c": 20}


device.run()
"""
