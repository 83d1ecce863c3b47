"""What the tests of images and flashing share: identities, a configuration, an application, a built image."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from rootlet.board import image
from rootlet.board.definition import Board, load_board
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import load_manifest

BUILT = 1_790_000_000
CONFIG = {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com", "wifi": [{"ssid": "plant", "password": "not-to-be-shown"}]}


@pytest.fixture(scope="session")
def issuer() -> certificates.Issuer:
    key = keys.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleet CA")])
    return certificates.Issuer(certificates.root(name, key, days=3650), key)


def mint(issuer: certificates.Issuer, thing: str, key_type: keys.KeyType = "ec-p256") -> DeviceIdentity:
    key = keys.generate(key_type)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, thing)])
    certificate = certificates.device(name, key.public_key(), issuer, days=365, now=dt.datetime.now(dt.UTC))
    return DeviceIdentity(thing, certificate, key, (issuer.certificate,))


@pytest.fixture(scope="session")
def identity(issuer: certificates.Issuer) -> DeviceIdentity:
    return mint(issuer, "sensor-1")


@pytest.fixture(scope="session")
def other_identity(issuer: certificates.Issuer) -> DeviceIdentity:
    return mint(issuer, "sensor-2")


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("application") / "blink.py"
    source.write_text("print('application runs')\n")
    return source


@pytest.fixture(scope="session")
def board() -> Board:
    return load_board("esp32_generic")


@pytest.fixture(scope="session")
def golden(board: Board, application: Path) -> bytes:
    return image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT).flash


@pytest.fixture(scope="session")
def full(board: Board, application: Path, identity: DeviceIdentity) -> bytes:
    return image.build(board, CONFIG, application, load_manifest().defaults(), built=BUILT, identity=identity).flash
