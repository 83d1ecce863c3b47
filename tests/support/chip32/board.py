"""What the 32-bit board has in its flash: the image's own files, an identity, the chain that the server shows."""

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet import resources
from rootlet.board import firmware, secure_cert
from rootlet.emulator.frozen import frozen_directory
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.trust.roots import load_manifest

from support import chip32
from support.chains import make_chain

SAMPLE = resources.FIRMWARE / "apps" / "sample"
THING = "sensor-0001"
BUILT = 1_780_000_000  # Unix seconds, before the time that the NTP server of the board says
CONFIG = {
    "endpoint": "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com",
    "wifi": [{"ssid": "a network", "password": "correct horse"}],
}


@cache
def _secrets() -> tuple[bytes, list[bytes]]:
    with tempfile.TemporaryDirectory() as scratch:
        authority = Authority.create(
            Path(scratch, "ca"), b"correct horse", name="Fleet CA", subject=Subject(organization="Tests")
        )
        identity = authority.issue(THING)
    chain = make_chain("*.iot.eu-west-1.amazonaws.com")
    shown = [chain.server, chain.intermediate, chain.root]
    return secure_cert.from_identity(identity), [one.public_bytes(Encoding.DER) for one in shown]


def write(directory: Path, application: Path, given: Mapping[str, Any], config: Mapping[str, Any] = CONFIG) -> None:
    """Write a board's files into ``directory``, which becomes its root. ``given`` tells the stand-ins what to do."""
    roots = {root.name: root.der() for root in load_manifest().defaults()}
    files = firmware.files(application, config, roots, {"built": BUILT}, architecture="x86")
    for name, content in files.vfs.items():
        _put(directory, name, content)
    partition, chain = _secrets()
    _put(directory, "/esp_secure_cert.bin", partition)
    (directory / "state").mkdir()
    for source in chip32.PARTS.glob("*.py"):
        _put(directory, f"/parts/{source.stem}.mpy", firmware.compile_mpy(source, source.name))
    _put(directory, "/parts/umqtt/simple.mpy", firmware.compile_mpy(frozen_directory() / "umqtt" / "simple.py", "simple.py"))
    for number, der in enumerate(chain):
        _put(directory, f"/parts/chain-{number}.der", der)
    _put(directory, "/parts/given.json", json.dumps({"chain": len(chain), "boot": chip32.BOOT, **given}).encode())


def run(application: Path, heap: int = 200_000, **given: Any) -> chip32.Run:
    """Boot a board with this application. Raises nothing: how it ended is in what comes back."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch, "board")
        directory.mkdir()
        write(directory, application, given)
        return power_on(directory, heap)


def power_on(directory: Path, heap: int) -> chip32.Run:
    """Boot a board whose files lie in ``directory`` already."""
    return chip32.boot(directory, heap, ["-c", "import sys; sys.path[:] = ['/parts']; import boot"])


def _put(directory: Path, name: str, content: bytes) -> None:
    path = directory / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
