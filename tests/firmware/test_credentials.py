"""``leaf`` finds the certificate and the key that Espressif's own parser finds, whatever else a partition holds."""

import random
from pathlib import Path

import pytest
from rootlet.board import secure_cert
from rootlet.board.secure_cert import Entry, Type
from support.espressif import REAL, generated

from .conftest import RunLeaf

READ = (Path(__file__).parent / "scripts" / "read_credentials.py").read_text()


def told(leaf: RunLeaf, directory: Path, *partitions: bytes) -> list[dict[str, str] | str]:
    """What ``leaf`` reads of each partition: data in hexadecimal by type, or its fault."""
    paths = []
    for number, partition in enumerate(partitions):
        paths.append(directory / f"{number}.partition")
        paths[-1].write_bytes(partition)
    answers: list[dict[str, str] | str] = leaf(READ, [str(path) for path in paths])
    return answers


def test_leaf_reads_what_espressifs_parser_reads(leaf: RunLeaf, tmp_path: Path) -> None:
    made = [generated(random.Random(seed), tmp_path) for seed in range(60)]
    for (_, entries), found in zip(made, told(leaf, tmp_path, *(partition for partition, _ in made)), strict=True):
        highest = {entry.type: entry for entry in sorted(entries, key=lambda entry: entry.subtype)}
        peripheral = highest.get(Type.DS_DATA)
        if peripheral and peripheral.subtype > highest[Type.PRIVATE_KEY].subtype:
            assert "kept in eFuses" in found
        elif not peripheral:
            wanted = {str(int(kind)): highest[kind].data.hex() for kind in (Type.DEVICE_CERTIFICATE, Type.PRIVATE_KEY)}
            assert isinstance(found, dict) and wanted.items() <= found.items()
            assert found.keys() - wanted.keys() <= {str(int(Type.USER_DATA_1))}


def test_leaf_reads_a_real_partition_with_appended_integrity(leaf: RunLeaf, tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"no {REAL}")
    partition = REAL.read_bytes().ljust(secure_cert.SIZE, b"\xff")
    (found,) = told(leaf, tmp_path, partition)
    assert isinstance(found, dict)
    assert bytes.fromhex(found["1"]) == secure_cert.to_identity(partition).certificate_der()


def test_leaf_passes_over_what_others_noted_at_length(leaf: RunLeaf, tmp_path: Path) -> None:
    entries = [Entry(Type.DEVICE_CERTIFICATE, b"certificate"), Entry(Type.PRIVATE_KEY, b"key")]
    ours, others = (Entry(Type.USER_DATA_1, data) for data in (secure_cert.THING + b"x" * 128, bytes(135)))
    noted, passed_over = told(leaf, tmp_path, *(secure_cert.encode([*entries, note]) for note in (ours, others)))
    assert noted["51"] == ours.data.hex()  # type: ignore[index]
    assert "51" not in passed_over


def test_leaf_names_what_it_cannot_use(leaf: RunLeaf, tmp_path: Path) -> None:
    certificate, key = Entry(Type.DEVICE_CERTIFICATE, b"certificate"), Entry(Type.PRIVATE_KEY, b"key")
    damaged = bytearray(secure_cert.encode([certificate, key]))
    damaged[50] ^= 1
    cases = {
        "bad CRC in the entry at byte 32": bytes(damaged),
        "kept in eFuses": secure_cert.encode([certificate, key, Entry(Type.PRIVATE_KEY, b"salt", 1, flags=0x40)]),
        "is empty": b"\xff" * secure_cert.SIZE,
        "no TLV begins there": bytes(secure_cert.SIZE),
        "a damaged PEM": secure_cert.encode(
            [Entry(Type.DEVICE_CERTIFICATE, b"-----BEGIN X-----\nAAAAA\n-----END X-----\n"), key]
        ),
        "does not fit": secure_cert.encode([certificate])[:30],
    }
    for cause, found in zip(cases, told(leaf, tmp_path, *cases.values()), strict=True):
        assert cause in found
    # what nobody uses may be damaged, and a plain key that is newer than one in eFuses counts
    other = bytearray(secure_cert.encode([certificate, key, Entry(201, b"matter")]))
    other[80] ^= 1
    older = secure_cert.encode(
        [Entry(Type.PRIVATE_KEY, b"salt", flags=0x40), Entry(Type.PRIVATE_KEY, b"key", 1), certificate]
    )
    for found in told(leaf, tmp_path, bytes(other), older):
        assert found == {"1": b"certificate".hex(), "2": b"key".hex()}
