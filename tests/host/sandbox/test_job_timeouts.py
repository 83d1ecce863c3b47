"""A job execution that has timed out is notified to its thing."""

import json
from pathlib import Path

import pytest
from mypy_boto3_iot.type_defs import TimeoutConfigTypeDef
from rootlet.pki.authority import Authority
from rootlet.sandbox.sandbox import Sandbox
from support.mqtt import MqttClient
from support.registered import ANY, registering


@pytest.mark.parametrize("whose", ["job", "step", "start-next"])
def test_a_thing_is_notified_of_an_execution_that_has_timed_out(
    impatient: Sandbox, authority: Authority, tmp_path: Path, whose: str
) -> None:
    iot, thing = impatient.iot(), f"slow-{whose}"
    identity = registering(iot, authority)(thing, ANY)
    target = iot.describe_thing(thingName=thing)["thingArn"]
    topics = f"$aws/things/{thing}/jobs"
    with MqttClient(impatient, identity, tmp_path) as client:
        assert client.is_on()
        assert client.may("subscribe", f"{topics}/notify")
        assert client.may("subscribe", f"{topics}/notify-next")
        config: TimeoutConfigTypeDef = {"inProgressTimeoutInMinutes": 1 if whose == "job" else 10}
        iot.create_job(jobId=f"first-{whose}", targets=[target], document="{}", timeoutConfig=config)
        iot.create_job(jobId=f"second-{whose}", targets=[target], document="{}")
        for _ in range(3):  # notify and notify-next for the first, notify for the second
            client.messages.get(timeout=5)
        if whose == "start-next":
            client.paho.publish(f"{topics}/start-next", b'{"stepTimeoutInMinutes": 1}', qos=1)
        else:
            step = {"stepTimeoutInMinutes": 1 if whose == "step" else 5}
            client.paho.publish(f"{topics}/first-{whose}/update", json.dumps({"status": "IN_PROGRESS"} | step), qos=1)
        notices = dict(client.messages.get(timeout=10) for _ in range(2))
    assert list(json.loads(notices[f"{topics}/notify"])["jobs"]) == ["QUEUED"]
    assert json.loads(notices[f"{topics}/notify-next"])["execution"]["jobId"] == f"second-{whose}"
    found = iot.describe_job_execution(jobId=f"first-{whose}", thingName=thing)["execution"]
    assert found["status"] == "TIMED_OUT"
