"""Whatever lies where a board's credentials belong is not written over unasked, readable or not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rootlet.board import credentials, inspect_board, partitions, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.secure_cert import Entry, Type
from rootlet.cli.main import rootlet
from rootlet.errors import BadInput, RootletError
from rootlet.pki.certificates import Issuer
from rootlet.pki.identity import DeviceIdentity
from support.download_mode import DownloadMode
from support.flashkit import mint

PLACE = 0xD000
MAC = "24:0a:c4:12:34:56"
PLAIN_MICROPYTHON = (
    partitions.Partition("nvs", 1, 2, 0x9000, 0x6000),
    partitions.Partition("phy_init", 1, 1, 0xF000, 0x1000),
    partitions.Partition("factory", 0, 0, 0x10000, 0x1F0000),
)

Spoil = Callable[[bytearray, DeviceIdentity], None]


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(rootlet, [str(argument) for argument in arguments])
    if isinstance(result.exception, RootletError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def put(flash: bytearray, *entries: Entry) -> None:
    flash[PLACE : PLACE + secure_cert.SIZE] = secure_cert.encode(entries)


def key_in_efuses(flags: int) -> Spoil:
    def spoil(flash: bytearray, identity: DeviceIdentity) -> None:
        certificate = Entry(Type.DEVICE_CERTIFICATE, identity.certificate_der())
        put(flash, certificate, Entry(Type.PRIVATE_KEY, bytes(32), flags=flags))

    return spoil


def rsa_key_in_the_ds_peripheral(flash: bytearray, identity: DeviceIdentity) -> None:
    put(flash, Entry(Type.DEVICE_CERTIFICATE, identity.certificate_der()), Entry(Type.DS_DATA, bytes(1220)))


def no_certificate(flash: bytearray, identity: DeviceIdentity) -> None:
    put(flash, Entry(Type.PRIVATE_KEY, identity.key_der()))


def flip(offset: int) -> Spoil:
    def spoil(flash: bytearray, _: DeviceIdentity) -> None:
        flash[offset] ^= 0x10

    return spoil


def one_byte_left(flash: bytearray, _: DeviceIdentity) -> None:
    flash[PLACE : PLACE + secure_cert.SIZE] = b"\xff" * (secure_cert.SIZE - 1) + b"\0"


def legacy_format(flash: bytearray, identity: DeviceIdentity) -> None:
    """As Espressif's older format `cust_flash` begins: lengths and checksums, then the certificate at a fixed place."""
    flash[PLACE : PLACE + 0x40] = b"\x01\x02\x03\x04".ljust(0x40, b"\0")
    flash[PLACE + 0x40 : PLACE + 0x400] = identity.certificate_der().ljust(0x3C0, b"\xff")


def no_table(flash: bytearray, _: DeviceIdentity) -> None:
    flash[0x8000:0x9000] = b"\xff" * 0x1000


def a_table_without_credentials(flash: bytearray, _: DeviceIdentity) -> None:
    flash[0x8000:0x8C00] = partitions.encode(PLAIN_MICROPYTHON)


WITHOUT_A_NAME = {
    "a flipped bit in the certificate": (flip(PLACE + 100), "CRC does not match"),
    "a flipped bit in the first magic": (flip(PLACE), "an entry without its magic number"),
    "a flipped bit in a length": (flip(PLACE + 11), "damaged"),
    "no certificate": (no_certificate, "no device certificate"),
    "one byte": (one_byte_left, "no TLV begins here"),
    "an older format": (legacy_format, "no TLV begins here"),
}
WITH_A_NAME = {
    "a key derived from eFuses": (key_in_efuses(0x40), "kept in the chip's eFuses"),
    "a key encrypted by eFuses": (key_in_efuses(0x80), "kept in the chip's eFuses"),
    "an ECDSA key in eFuses": (key_in_efuses(0x08), "kept in the chip's eFuses"),
    "an RSA key in the DS peripheral": (rsa_key_in_the_ds_peripheral, "kept in the chip's eFuses"),
    "no partition table": (no_table, "the identity of sensor-1"),
    "a flipped bit in the partition table": (flip(0x8005), "the identity of sensor-1"),
    "a partition table without credentials": (a_table_without_credentials, "the identity of sensor-1"),
}
ALL = WITHOUT_A_NAME | WITH_A_NAME


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, golden: bytes, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "golden.bin").write_bytes(golden)
    mint(issuer, "sensor-9").save(tmp_path / "devices" / "sensor-9")
    monkeypatch.chdir(tmp_path)


def spoiled(name: str, full: bytes, identity: DeviceIdentity) -> bytes:
    flash = bytearray(full)
    ALL[name][0](flash, identity)
    return bytes(flash)


@pytest.mark.parametrize("name", ALL)
def test_neither_flash_nor_erase_destroys(name: str, full: bytes, identity: DeviceIdentity) -> None:
    flash = spoiled(name, full, identity)
    commands = [
        ("flash", "--bare", "golden.bin", "--thing", "sensor-9"),
        ("flash", "--bare", "golden.bin", "--no-identity"),
        ("erase",),
        ("erase", "--thing", "sensor-9"),
    ]
    with DownloadMode(flash=flash, mac=MAC) as board:
        for command in commands:
            with pytest.raises(BadInput, match=ALL[name][1]) as refusal:
                run(*command, "--port", board.port)
            assert "would be lost" in refusal.value.what or "confirm" in refusal.value.hint
        assert board.flash == flash


@pytest.mark.parametrize("name", WITHOUT_A_NAME | {"a key derived from eFuses": None})
def test_an_identity_alone_does_not_overwrite_either(name: str, full: bytes, identity: DeviceIdentity) -> None:
    flash = spoiled(name, full, identity)
    with DownloadMode(flash=flash) as board:
        with pytest.raises(BadInput, match=ALL[name][1]):
            run("flash", "--identity-only", "--thing", "sensor-9", "--port", board.port)
        assert board.flash == flash


@pytest.mark.parametrize("name", ["a flipped bit in the certificate", "a key derived from eFuses"])
def test_the_refusal_says_what_info_says(name: str, full: bytes, identity: DeviceIdentity) -> None:
    with DownloadMode(flash=spoiled(name, full, identity)) as board:
        with Chip(board.port) as chip:
            facts = inspect_board.info(chip)
        with pytest.raises(BadInput) as refusal:
            run("erase", "--port", board.port)
    assert facts["problems"][0] in refusal.value.what
    if name in WITH_A_NAME:
        assert facts["identity"]["certificate_id"] == identity.certificate_id
        assert "sensor-1" in refusal.value.what


def test_the_ways_out(full: bytes, identity: DeviceIdentity) -> None:
    unreadable = spoiled("a flipped bit in the certificate", full, identity)
    with DownloadMode(flash=unreadable, mac=MAC) as board:
        run("flash", "--identity-only", "--thing", "sensor-9", "--replace", "--port", board.port)
        with Chip(board.port) as chip:
            assert inspect_board.info(chip)["identity"]["thing"] == "sensor-9"
    with DownloadMode(flash=unreadable, mac=MAC) as board:
        with pytest.raises(BadInput):
            run("erase", "--confirm", "24:0a:c4:00:00:00", "--port", board.port)
        result = run("erase", "--confirm", MAC.upper(), "--port", board.port)
        assert "erased, with credentials that could not be read" in result.stdout and set(board.flash) == {0xFF}
    with DownloadMode(flash=spoiled("a key derived from eFuses", full, identity)) as board:
        run("erase", "--thing", "sensor-1", "--port", board.port)
        assert set(board.flash) == {0xFF}


@pytest.mark.parametrize("written", [1, 256, 700])
def test_the_same_identity_cut_short_is_completed_unasked(full: bytes, identity: DeviceIdentity, written: int) -> None:
    cut = bytearray(full)
    cut[PLACE + written : PLACE + secure_cert.SIZE] = b"\xff" * (secure_cert.SIZE - written)
    cut[PLACE + written - 1] |= 0xF0  # a byte of which some bits were programmed
    with DownloadMode(flash=bytes(cut)) as board, Chip(board.port) as chip:
        credentials.guard(chip, identity, replace=False)
        with pytest.raises(BadInput, match="carries"):
            credentials.guard(chip, None, replace=False)


@pytest.mark.parametrize("table", [None, PLAIN_MICROPYTHON], ids=["without a table", "with MicroPython's own table"])
def test_a_board_without_credentials_is_written_unasked(
    golden: bytes, identity: DeviceIdentity, table: tuple[partitions.Partition, ...] | None
) -> None:
    flash = bytearray(b"\xff" * len(golden))
    if table:
        flash[0x8000:0x8C00] = partitions.encode(table)
        flash[PLACE : PLACE + 0x20] = b"\xfe\xff\xff\xff".ljust(0x20, b"\0")  # a page of nvs
    place = partitions.Partition(partitions.SECURE_CERT, partitions.SECURE_CERT_TYPE, 0, PLACE, secure_cert.SIZE)
    with DownloadMode(flash=bytes(flash)) as board:
        with Chip(board.port) as chip:
            credentials.guard(chip, identity, replace=False, image_place=place)
        run("erase", "--port", board.port)


def test_a_dump_of_a_boards_credentials_is_not_written_over(tmp_path: Path, identity: DeviceIdentity) -> None:
    dump = tmp_path / "dump.bin"
    dump.write_bytes(secure_cert.from_identity(identity))
    with pytest.raises(BadInput, match="holds the identity of sensor-1"):
        run("image", "identity", "--device", tmp_path / "devices" / "sensor-9", "-o", dump)
    assert dump.read_bytes() == secure_cert.from_identity(identity)
    run("image", "identity", "--device", tmp_path / "devices" / "sensor-9", "-o", tmp_path / "new.bin")
    run("image", "identity", "--device", tmp_path / "devices" / "sensor-9", "-o", tmp_path / "new.bin")
