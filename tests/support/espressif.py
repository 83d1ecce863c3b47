"""Credential partitions as Espressif's esp-secure-cert-tool writes them."""

import contextlib
import io
import random
from pathlib import Path

from esp_secure_cert.tlv_format import tlv_type_t
from esp_secure_cert.tlv_format_construct import EspSecureCert, TlvPartitionBuilder
from rootlet.board import secure_cert
from rootlet.board.secure_cert import Entry, Type

REAL = Path(__file__).resolve().parents[3] / "shared" / "cases" / "esp-secure-cert-integrity.bin"
"""One that configure_esp_secure_cert.py wrote, integrity appended. It is no part of the repository."""

USER_AND_MATTER = (51, 52, 53, 54, 55, 201, 202)
HIGHEST_SUBTYPE = 16


def generated(chance: random.Random, directory: Path) -> tuple[bytes, list[Entry]]:
    """A credential partition that Espressif's classes wrote, and the entries that their parser finds in it."""
    kinds = [*(kind for kind in tlv_type_t if kind != tlv_type_t.TLV_END), *USER_AND_MATTER]
    wanted = {(int(chance.choice(kinds)), chance.randint(0, HIGHEST_SUBTYPE)) for _ in range(chance.randint(1, 9))}
    wanted -= {(tlv_type_t.ESP_SECURE_CERT_INTEGRITY_TLV, subtype) for subtype in range(HIGHEST_SUBTYPE + 1)}
    wanted |= {(Type.DEVICE_CERTIFICATE, chance.randint(0, 3)), (Type.PRIVATE_KEY, chance.randint(0, 3))}
    builder = TlvPartitionBuilder()
    path = directory / "generated.bin"
    with contextlib.redirect_stdout(io.StringIO()):
        for kind, subtype in chance.sample(sorted(wanted), len(wanted)):
            builder.add_tlv_entry(kind, subtype, chance.randbytes(chance.randint(0, 600)), 0)
        builder.build_partition(str(path), add_tlv_integrity=chance.random() < 0.5)
        if chance.random() < 0.5:  # as a file of the whole partition
            path.write_bytes(path.read_bytes().ljust(secure_cert.SIZE, b"\xff"))
        for _ in range(chance.randint(0, 3)):
            EspSecureCert.append_integrity_tlv(str(path))
        found = EspSecureCert._parse_tlv_entries_from_bin(str(path))
    entries = [
        Entry(entry["header"]["type"], entry["data"], entry["header"]["subtype"], entry["header"]["flags"])
        for entry in found
    ]
    # On a chip, sectors that a shorter file does not reach keep what an earlier one left in them.
    written = path.read_bytes()
    sectors = written.ljust(-(-len(written) // 0x1000) * 0x1000, b"\xff")
    return sectors.ljust(secure_cert.SIZE, chance.choice([b"\xff", b"\x5a"])), entries
