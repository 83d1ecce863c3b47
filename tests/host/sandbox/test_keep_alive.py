"""A silent connection ends, as AWS IoT Core ends it."""

from pathlib import Path

import pytest
from rootlet.packets import Connect, Pingreq, Pingresp, Publish, Suback, Subscribe, Will
from rootlet.pki.authority import Authority
from rootlet.sandbox.ministack_patch.keep_alive import patience
from rootlet.sandbox.sandbox import Sandbox
from support.raw_mqtt import RawMqtt
from support.registered import ANY, registering


@pytest.mark.parametrize(
    ("asked", "seconds"), [(0, 1800), (1, 45), (29, 45), (30, 45), (60, 90), (1200, 1800), (65535, 1800)]
)
def test_a_keep_alive_is_30_to_1200_seconds_and_the_server_waits_half_as_long_again(asked: int, seconds: float) -> None:
    assert patience(asked) == seconds


def test_a_silent_connection_ends_and_its_will_is_published(
    impatient: Sandbox, authority: Authority, tmp_path: Path
) -> None:
    register = registering(impatient.iot(), authority)
    with (
        RawMqtt(impatient, register("watches", ANY), tmp_path) as watcher,
        RawMqtt(impatient, register("pings", ANY), tmp_path) as pinging,
        RawMqtt(impatient, register("falls-silent", ANY), tmp_path) as silent,
    ):
        watcher.connect()
        watcher.send(Subscribe(1, (("gone", 0),)))
        assert watcher.receive() == Suback(1, (0,))
        pinging.connect(keep_alive=1)
        silent.send(Connect("falls-silent", 1, will=Will("gone", b"falls-silent")))
        assert silent.receive()
        assert silent.receive_while(lambda: pinging.exchange(Pingreq()) == Pingresp()) is None, "it is disconnected"
        assert watcher.receive() == Publish("gone", b"falls-silent")
        assert pinging.exchange(Pingreq()) == Pingresp(), "it has not been silent"
        assert "'falls-silent' was silent for 1.5 s" in impatient.log()
