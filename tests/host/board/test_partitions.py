import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rootlet.board import partitions
from rootlet.board.definition import list_boards
from rootlet.board.partitions import Partition
from rootlet.errors import BadInput

NVS = Partition("nvs", 1, 2, 0x9000, 0x6000)
PHY = Partition("phy_init", 1, 1, 0xF000, 0x1000)
APP = Partition("factory", 0, 0, 0x10000, 0x1F0000)
# MicroPython's layouts, from its partitions-*.csv of the releases named
SINCE_1_26 = (NVS, PHY, APP)
BEFORE_1_26 = (*SINCE_1_26, Partition("vfs", 1, 0x81, 0x200000, 0x200000))
OTA = (
    Partition("nvs", 1, 2, 0x9000, 0x4000),
    Partition("otadata", 1, 0, 0xD000, 0x2000),
    PHY,
    Partition("ota_0", 0, 0x10, 0x10000, 0x180000),
    Partition("ota_1", 0, 0x11, 0x190000, 0x180000),
)
OTA_BEFORE_1_26 = (*OTA, Partition("vfs", 1, 0x81, 0x310000, 0xF0000))

entries = st.builds(
    Partition,
    label=st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=16),
    type=st.integers(0, 0xFE),
    subtype=st.integers(0, 0xFE),
    offset=st.integers(0, 0xFFFF).map(lambda n: n << 12),
    size=st.integers(1, 0xFFFF).map(lambda n: n << 12),
    encrypted=st.booleans(),
    read_only=st.booleans(),
)


@given(st.lists(entries, min_size=1, max_size=90))
def test_a_table_reads_back_as_it_was_written(table: list[Partition]) -> None:
    assert partitions.decode(partitions.encode(table)) == tuple(table)


def test_a_damaged_table_is_refused() -> None:
    table = bytearray(partitions.encode(SINCE_1_26))
    table[5] ^= 1
    with pytest.raises(BadInput, match="MD5"):
        partitions.decode(bytes(table))


def test_no_table_is_refused() -> None:
    with pytest.raises(BadInput, match="no partition table"):
        partitions.decode(b"\xff" * partitions.TABLE_SIZE)


def test_the_credentials_take_the_end_of_a_large_nvs() -> None:
    made = partitions.with_secure_cert(SINCE_1_26)
    assert [(p.label, p.offset, p.size) for p in made] == [
        ("nvs", 0x9000, 0x4000),
        ("esp_secure_cert", 0xD000, 0x2000),
        ("phy_init", 0xF000, 0x1000),
        ("factory", 0x10000, 0x1F0000),
    ]
    assert made[1].type == 0x3F


def test_an_explicit_vfs_keeps_its_place_where_nvs_gives_the_room() -> None:
    made = partitions.with_secure_cert(BEFORE_1_26)
    assert partitions.vfs(made, 0x400000) == BEFORE_1_26[-1]


def test_the_credentials_lie_behind_two_applications_and_vfs_follows() -> None:
    made = partitions.with_secure_cert(OTA)
    assert partitions.find(made, "esp_secure_cert").offset == 0x310000
    vfs = partitions.vfs(made, 0x400000)
    assert (vfs.offset, vfs.end) == (0x312000, 0x400000)
    older = partitions.with_secure_cert(OTA_BEFORE_1_26)
    assert (partitions.vfs(older, 0x400000).offset, partitions.vfs(older, 0x400000).end) == (0x312000, 0x400000)


@pytest.mark.parametrize("table", [SINCE_1_26, BEFORE_1_26, OTA, OTA_BEFORE_1_26])
def test_adding_the_credentials_moves_no_application_and_overlaps_nothing(table: tuple[Partition, ...]) -> None:
    made = partitions.with_secure_cert(table)
    assert [p for p in made if p.type == 0] == [p for p in table if p.type == 0]
    in_order = sorted(made, key=lambda p: p.offset)
    assert all(a.end <= b.offset for a, b in itertools.pairwise(in_order))
    assert partitions.with_secure_cert(made) == made


def test_every_board_that_ships_has_the_table_of_its_micropython_with_credentials_added() -> None:
    for board in list_boards():
        table = partitions.with_secure_cert(OTA if "ota" in board.id else SINCE_1_26)
        assert board.partitions == table, board.id
