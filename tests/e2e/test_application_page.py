"""The first example of the firmware page runs as it stands, under the policy that is made for it."""

from collections.abc import Callable
from pathlib import Path

from mypy_boto3_iot import IoTClient
from rootlet import resources
from rootlet.cloud import registration
from rootlet.policies.application import read
from support.device import BuiltDevice

MakeDevice = Callable[[str], BuiltDevice]
PAGE = (resources.FIRMWARE.parent / "docs" / "firmware.md").read_text()


def test_every_stream_of_the_page_is_acknowledged_and_its_topic_subscribed(
    make_device: MakeDevice, aws: IoTClient, tmp_path: Path
) -> None:
    source = tmp_path / "main.py"
    source.write_text(PAGE.split("```python\n")[1].partition("```")[0])
    device = make_device("page-1")
    device.application = source
    device.config = {**device.config, "application": "page"}
    does = read(source)
    assert device.identity
    registration.register(
        aws,
        device.identity,
        registration.RegistrationRequest(
            application="page",
            streams=[use.name for use in does.streams],
            topics=[use.name for use in does.topics],
        ),
    )
    with device.boot() as board:
        board.wait_for("telemetry: climate acknowledged")
        board.wait_for("telemetry: meter acknowledged")
        board.wait_for("faults: no fault")  # a SUBSCRIBE that is denied would have ended the connection
        board.wait_for("mqtt: subscribed")
