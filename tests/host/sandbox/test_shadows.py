"""What AWS's Device Shadow service refuses, the sandbox's refuses in its words."""

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_iot import IoTClient
from rootlet.sandbox.ministack_patch.shadows import fault
from rootlet.sandbox.sandbox import Sandbox
from support.mqtt import MqttClient
from support.registered import ANY, Register


def nested(levels: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(levels):
        value = {"level": value}
    return dict(value)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "Missing required node: state"),
        ([], "Missing required node: state"),
        ({"state": 1}, "State node must be an object"),
        ({"state": {"desired": 1}}, "Desired node must be an object"),
        ({"state": {"reported": [1]}}, "Reported node must be an object"),
        ({"state": {"reported": {}, "wanted": {}}}, "State contains an invalid node"),
        ({"state": {"reported": nested(9)}}, "JSON contains too many levels of nesting; maximum is 8"),
        ({"state": {}, "version": "1"}, "Invalid version"),
        ({"state": {}, "clientToken": "t" * 65}, "Invalid clientToken"),
        ({"state": {"reported": nested(8), "desired": None}, "version": 1, "clientToken": "t" * 64, "more": 1}, None),
    ],
)
def test_an_update_that_aws_refuses_is_refused_in_its_words(request_: Any, reason: str | None) -> None:
    assert fault(request_) == reason


def test_a_rejection_over_mqtt_has_code_message_timestamp_and_token(
    sandbox: Sandbox, register: Register, tmp_path: Path
) -> None:
    topic = "$aws/things/shadowy/shadow/update"
    with MqttClient(sandbox, register("shadowy", ANY), tmp_path) as client:
        assert client.is_on()
        assert client.may("subscribe", f"{topic}/rejected")
        update = {"state": {"reported": {}, "wanted": 1}, "clientToken": "mine"}
        client.paho.publish(topic, json.dumps(update), qos=1)
        answer = json.loads(client.messages.get(timeout=5)[1])
    assert abs(answer.pop("timestamp") - time.time()) < 60
    assert answer == {"code": 400, "message": "State contains an invalid node", "clientToken": "mine"}


def test_a_state_of_8_kib_is_taken_and_what_grows_beyond_it_is_not(aws: IoTClient, register: Register) -> None:
    register("big", ANY)
    data = boto3.client("iot-data")

    def update(**reported: Any) -> None:
        data.update_thing_shadow(thingName="big", payload=json.dumps({"state": {"reported": reported}}).encode())

    update(first="x" * 8000)
    with pytest.raises(ClientError, match=r"RequestEntityTooLarge.*The payload exceeds the maximum size allowed"):
        update(second="x" * 200)
    found = json.loads(data.get_thing_shadow(thingName="big")["payload"].read())
    assert list(found["state"]["reported"]) == ["first"]
    update(first=None)
    update(second="x" * 200)


def test_the_named_shadows_of_a_thing_are_listed_page_by_page(aws: IoTClient, register: Register) -> None:
    register("named", ANY)
    data = boto3.client("iot-data")
    for name in ("c", "a", "b", "gone"):
        data.update_thing_shadow(thingName="named", shadowName=name, payload=b'{"state":{"reported":{"a":1}}}')
    data.update_thing_shadow(thingName="named", payload=b'{"state":{"reported":{"a":1}}}')
    data.delete_thing_shadow(thingName="named", shadowName="gone")
    first = data.list_named_shadows_for_thing(thingName="named", pageSize=2)
    assert first["results"] == ["a", "b"]
    second = data.list_named_shadows_for_thing(thingName="named", pageSize=2, nextToken=first["nextToken"])
    assert second["results"] == ["c"]
    assert "nextToken" not in second
    with pytest.raises(ClientError, match="ResourceNotFound"):
        data.list_named_shadows_for_thing(thingName="nobody")
