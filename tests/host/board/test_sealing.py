"""What is encrypted of an image: what ESP-IDF's bootloader and hardware decrypt, and nothing else."""

from pathlib import Path

import pytest
from rootlet.board import flasher, image, partitions, sealing
from rootlet.board.definition import load_board
from rootlet.errors import BadInput
from rootlet.pki.identity import DeviceIdentity
from support.flashkit import BUILT, CONFIG

KEY = bytes(range(32))


def with_applications(flash: bytes) -> bytes:
    """The image with something where its applications and its bootloader go."""
    filled = bytearray(flash)
    table = partitions.decode(flash[0x8000:0x8C00])
    for place in table:
        if place.type == partitions.TYPES["app"]:
            filled[place.offset : place.offset + 0x5001] = b"\xe9" + b"c" * 0x5000
    filled[0x1000:0x3001] = b"\xe9" + b"b" * 0x2000
    return bytes(filled)


@pytest.mark.parametrize("board", ["esp32_generic", "esp32_generic_ota"])
def test_what_the_chip_decrypts_is_encrypted_and_the_rest_is_left(
    board: str, application: Path, identity: DeviceIdentity
) -> None:
    made = image.build(load_board(board), CONFIG, application, [], built=BUILT, identity=identity, in_place="yes")
    flash = with_applications(made.flash)
    sealed = sealing.seal(flash, "esp32", KEY)
    after = bytearray(flash)
    for region in (*sealed.regions, sealed.credentials):
        after[region.offset : region.end] = region.data
    plain = {region.name: region.data for region in flasher.regions(flash)}
    changed = {region.name for region in flasher.regions(flash) if after[region.offset : region.end] != region.data}
    applications = {"ota_0", "ota_1", "otadata"} if board.endswith("ota") else {"factory"}
    assert changed == {"bootloader", "partition table", "esp_secure_cert", "romfs", *applications}
    # To the last sector of an application, and no further: nothing reads what is erased behind it.
    (first, *_) = (one for one in sealed.regions if one.name in ("factory", "ota_0"))
    assert first.data[0x5000:0x6000] != plain[first.name][0x5000:0x6000]
    assert first.data[0x6000:] == plain[first.name][0x6000:]
    assert after[:0x1000] == flash[:0x1000]  # before an ESP32's bootloader there is nothing
    assert sealed.unsealed(sealed.credentials.data) == plain["esp_secure_cert"]


def test_neither_key_nor_content_is_in_a_repr(application: Path, identity: DeviceIdentity) -> None:
    made = image.build(load_board("esp32_generic"), CONFIG, application, [], built=BUILT, identity=identity)
    shown = repr(sealing.seal(made.flash, "esp32", KEY))
    assert repr(KEY)[2:-1] not in shown and KEY.hex() not in shown and len(shown) < 200


def test_a_table_that_leaves_the_credentials_readable_is_refused(application: Path, identity: DeviceIdentity) -> None:
    made = image.build(load_board("esp32_generic"), CONFIG, application, [], built=BUILT, identity=identity)
    table = partitions.decode(made.flash[0x8000:0x8C00])
    bare = [
        partitions.Partition(one.label, one.type, one.subtype, one.offset, one.size)
        if one.label == partitions.SECURE_CERT
        else one
        for one in table
    ]
    flash = made.flash[:0x8000] + partitions.encode(bare) + made.flash[0x8C00:]
    with pytest.raises(BadInput, match="without the flag encrypted"):
        sealing.check_encryption(flash, own_build=True)
