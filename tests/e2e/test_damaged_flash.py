"""A flash that is not as it should be: one line that names the cause and a hint, and nothing is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.board import secure_cert
from rootlet.pki import keys
from rootlet.pki.identity import DeviceIdentity
from support.device import BuiltDevice, fault_line, no_line

MakeDevice = Callable[[str], BuiltDevice]
Entry, Type = secure_cert.Entry, secure_cert.Type


@pytest.fixture
def device(make_device: MakeDevice) -> BuiltDevice:
    return make_device("damaged")


def partition(device: BuiltDevice) -> bytearray:
    assert device.identity
    return bytearray(secure_cert.from_identity(device.identity))


def stops(device: BuiltDevice, word: str, cause: str) -> None:
    """The device ends with this one fault, and has not tried to connect."""
    with device.boot() as board:
        assert cause in fault_line(board, word)
        assert board.wait() == 0
    assert len([line for line in board.lines if " fault: " in line]) == 1
    assert no_line(board, ["tls:", "mqtt:", "backoff:", "Traceback"])


def test_a_flipped_bit_in_the_credentials_is_a_bad_crc(device: BuiltDevice) -> None:
    device.build()
    credentials = partition(device)
    credentials[100] ^= 0x01
    device.write_credentials(credentials)
    stops(device, "credentials", "bad CRC in the entry at byte 0")


def test_credentials_whose_length_runs_out_of_the_partition_are_truncated(device: BuiltDevice) -> None:
    device.build()
    credentials = partition(device)
    credentials[10:12] = (0x3000).to_bytes(2, "little")
    device.write_credentials(credentials)
    stops(device, "credentials", "truncated")


def test_credentials_cut_off_in_the_middle_are_named(device: BuiltDevice) -> None:
    device.build()
    credentials = partition(device)
    device.write_credentials(credentials[:200] + b"\xff" * (len(credentials) - 200))
    stops(device, "credentials", "bad CRC")


def test_an_empty_credential_partition_is_named(device: BuiltDevice) -> None:
    device.identity = None
    stops(device, "credentials", "esp_secure_cert is empty")


def test_garbage_in_the_credential_partition_is_named(device: BuiltDevice) -> None:
    device.build()
    device.write_credentials(b"\x00" * secure_cert.Type.PRIVATE_KEY + b"garbage" * 100)
    stops(device, "credentials", "no TLV begins there")


@pytest.mark.parametrize(
    ("missing", "cause"), [(Type.DEVICE_CERTIFICATE, "no device certificate"), (Type.PRIVATE_KEY, "no device private key")]
)
def test_half_an_identity_is_named(device: BuiltDevice, missing: int, cause: str) -> None:
    device.build()
    entries = [entry for entry in secure_cert.decode(bytes(partition(device))) if entry.type != missing]
    device.write_credentials(secure_cert.encode(entries))
    stops(device, "credentials", cause)


def test_credentials_that_espressifs_tools_wrote_as_pem_are_read(registered: MakeDevice) -> None:
    device = registered("pem")
    identity = device.identity
    assert isinstance(identity, DeviceIdentity)
    device.build()
    entries = [
        Entry(Type.DEVICE_CERTIFICATE, identity.certificate.public_bytes(Encoding.PEM) + b"\0"),
        Entry(Type.PRIVATE_KEY, keys.pem(identity.key) + b"\0"),
    ]
    device.write_credentials(secure_cert.encode(entries))
    with device.boot() as board:
        board.wait_for("mqtt: first puback")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"endpiont": "x"}, "endpiont is not a known key"),
        ({"port": "8883"}, 'port is "8883"; must be of type int'),
        ({"port": True}, "port is true; must be of type int"),
        ({"port": 70000}, "must be at most 65535"),
        ({"endpoint": None}, "endpoint is null; must be of type str"),
        ({"endpoint": "mqtts://x"}, "must not contain"),
        ({"keep_alive": 5}, "must be at least 30"),
        ({"wifi": [{"ssid": "a", "password": "short"}]}, "wifi[0].password is (not shown)"),
        ({"wifi": [{"password": "long enough"}]}, "wifi[0].ssid is missing"),
    ],
)
def test_a_wrong_configuration_names_key_value_and_rule(device: BuiltDevice, change: dict[str, Any], cause: str) -> None:
    device.config = {**device.config, **change}
    stops(device, "config", cause)


def test_a_configuration_without_an_endpoint_is_named(device: BuiltDevice) -> None:
    device.config = {"port": 8883}
    stops(device, "config", "endpoint is missing")
