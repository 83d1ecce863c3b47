"""The first rungs: several networks, a wrong password, an access point out of reach; the sandbox behind a bad network."""

from collections.abc import Callable

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.cloud import messages
from rootlet.sandbox.sandbox import Sandbox
from support.device import BuiltDevice, fault_line, no_line
from support.proxy import FaultyProxy

MakeDevice = Callable[[str], BuiltDevice]
SHED, HOUSE = {"ssid": "shed", "password": "shed-password"}, {"ssid": "house", "password": "house-password"}


def with_networks(device: BuiltDevice, *networks: dict[str, str]) -> BuiltDevice:
    device.config = {**device.config, "wifi": list(networks)}
    return device


def test_the_second_network_is_joined_when_the_first_is_out_of_reach(registered: MakeDevice) -> None:
    device = with_networks(registered("ladder-1"), SHED, HOUSE)
    with device.boot(wifi={"house": "house-password"}) as board:
        board.wait_for("wifi: shed: wifi-not-found")
        board.wait_for("wifi: joined house")
        board.wait_for("telemetry: climate acknowledged")


def test_a_wrong_password_is_told_from_a_network_that_is_not_there(registered: MakeDevice) -> None:
    device = with_networks(registered("ladder-2"), SHED, HOUSE)
    with device.boot(wifi={"house": "another-password"}) as board:
        line = fault_line(board, "wifi-password")
        board.wait_for("backoff: ")
    assert "house refused the password" in line
    assert "another-password" not in "".join(board.lines)
    assert "house-password" not in "".join(board.lines)
    assert no_line(board, ["tls:", "clock:"])


@pytest.mark.parametrize(
    ("status", "word", "said"),
    [
        (15, "wifi-password", "house refused the password (status 15, 4WAY_HANDSHAKE_TIMEOUT)"),
        (2, "wifi-password", "house refused the password (status 2, AUTH_EXPIRE)"),
        (205, "wifi-password", "house refused the password (status 205, CONNECTION_FAIL)"),
        (203, "wifi-refused", "house refused the board (status 203, ASSOC_FAIL)"),
        (211, "wifi-refused", "house refused the board (status 211, NO_AP_FOUND_IN_AUTHMODE_THRESHOLD)"),
        (77, "wifi-refused", "house refused the board (status 77)"),
    ],
)
def test_the_drivers_reason_for_a_failed_join_is_named(registered: MakeDevice, status: int, word: str, said: str) -> None:
    device = with_networks(registered("ladder-6"), HOUSE)
    device.config = {**device.config, "wifi_timeout": 5}
    with device.boot(wifi={"house": "another-password"}, wifi_refusal=status, speed=20) as board:
        assert said in fault_line(board, word)


def test_a_join_that_fails_once_is_tried_again_before_the_network_is_given_up(registered: MakeDevice) -> None:
    with with_networks(registered("ladder-7"), HOUSE).boot(wifi_refusal=2, wifi_refuses=1) as board:
        board.wait_for("wifi: joined house")
        assert no_line(board, ["wifi-"])


def test_no_network_at_all_is_named(registered: MakeDevice) -> None:
    with with_networks(registered("ladder-3"), SHED).boot(wifi={}) as board:
        assert "shed did not answer" in fault_line(board, "wifi-not-found")


def test_power_saving_is_an_option_that_the_radio_is_told(registered: MakeDevice) -> None:
    device = with_networks(registered("ladder-4"), SHED)
    for wanted, mode in ((False, 1), (True, 2)):
        device.config = {**device.config, "wifi_power_saving": wanted}
        device.build()
        with device.boot(wifi={"shed": "shed-password"}) as board:
            board.wait_for(f"virtual radio: pm={mode}")


def test_the_sandbox_behind_a_bad_network_gets_it_all_in_the_end(
    registered: MakeDevice, aws: IoTClient, sandbox: Sandbox
) -> None:
    device = registered("ladder-5")
    with FaultyProxy(sandbox.facts.mqtt_port) as proxy:
        device.config = {**device.config, "port": proxy.port}
        with device.boot() as board:
            board.wait_for("telemetry: climate acknowledged")
            proxy.down = True
            fault_line(board, "(connection-lost|tcp|tls-no-tls|tls-failed)")
            board.wait_for("backoff: .* attempt 3")
            proxy.fragment = 1
            proxy.down = False
            since = len(board.lines)
            board.wait_for("faults: offline ", 60, since=since)
            board.wait_for("telemetry: climate acknowledged", since=since)
            reply = messages.send_command("ladder-5", "echo", {"over": "one byte a segment"}, application="leaf", timeout=20)
    assert reply["result"] == {"over": "one byte a segment"}
