"""Flash that forgets: files of a device that is off are damaged, and blocks of its outbox cannot be read any more."""

import json
import struct
from pathlib import PurePosixPath

from littlefs import LittleFS
from rootlet.board import filesystem
from support.device import BOARD

from campaign.months.life import Life

STATE = ("time.json", "boots.json", "faults.json", "config.json")
_HEADER, _MAGIC = struct.Struct(">BBHI"), 0xA7  # of a record: magic, lengths of name and payload, CRC

_SHAPES: list[object] = [[], {}, 0, -1, "", None, True, {"since": "x", "counts": [], "last": {}}, [1, 2, 3], 1e300]


def draw(life: Life) -> None:
    """Damage one or two files of the board, which is off. What was in them, and is lost with them, is excused."""
    vfs = BOARD.vfs
    flash = bytearray(life.flash.read_bytes())
    volume = filesystem.mount(bytes(flash[vfs.offset : vfs.offset + vfs.size]))
    files = [path for path in _paths(volume) if path.startswith(("/state/outbox/", "/roots/amazon"))]
    candidates = [*files, *(f"/state/{name}" for name in STATE)]
    outbox = [path for path in files if path.startswith("/state/outbox")]
    chosen = life.random.sample(candidates, life.random.randint(1, 2))
    if outbox:
        chosen.append(life.random.choice(outbox))
    for path in dict.fromkeys(chosen):
        if path in outbox and life.random.random() < 0.4:
            _forget_block(life, volume, path)
        else:
            _spoil(life, volume, path)
    flash[vfs.offset : vfs.offset + vfs.size] = volume.context.buffer
    life.flash.write_bytes(flash)


def _spoil(life: Life, volume: LittleFS, path: str) -> None:
    old = _content(volume, path)
    kinds = ["bits", "short", "empty", "noise"]
    kind = life.random.choice(kinds if "outbox" in path or "roots" in path else [*kinds, "shape"])
    new = bytearray(old)
    match kind:
        case "bits" if old:
            for _ in range(life.random.randint(1, 4)):
                new[life.random.randrange(len(new))] ^= 1 << life.random.randrange(8)
        case "short":
            new = new[: life.random.randrange(len(new) + 1)]
        case "empty":
            new = bytearray()
        case "noise":
            new = bytearray(life.random.randbytes(len(new) or 32))
        case "shape":
            new = bytearray(life.random.choice([json.dumps(life.random.choice(_SHAPES)).encode(), b"[" * 3000]))
    life.say(f"damage: {kind} in {path}")
    if path.startswith("/state/outbox"):
        _excuse(life, old, bytes(new))
    elif path.startswith("/roots"):
        life.excuses.words.add("root-unusable")
    with volume.open(path, "wb") as stream:
        stream.write(bytes(new))


def _forget_block(life: Life, volume: LittleFS, path: str) -> None:
    old = _content(volume, path)
    at = bytes(volume.context.buffer).find(old[:64]) if len(old) >= 256 else -1
    if at < 0 or at % filesystem.BLOCK:
        return  # so small that it lies in its directory's block
    life.say(f"damage: {path} cannot be read")
    life.unreadable[at // filesystem.BLOCK] = bytes(volume.context.buffer[at : at + filesystem.BLOCK])
    _excuse(life, old, b"")


def _excuse(life: Life, old: bytes, new: bytes) -> None:
    # What a record's own bytes lost is lost, and behind a damaged header nothing has a beginning that could be trusted.
    at, lost = 0, False
    while at + _HEADER.size <= len(old):
        magic, name, length, _ = _HEADER.unpack_from(old, at)
        end = at + _HEADER.size + name + length
        if magic != _MAGIC or end > len(old):
            return
        damaged = new[at:end] != old[at:end]
        lost = lost or new[at : at + 4] != old[at : at + 4] or len(new) < end
        if damaged or lost:
            reading = json.loads(old[at + _HEADER.size + name : end])
            if "n" in reading:
                life.excuses.readings.add((reading["boot"], reading["n"]))
        at = end


def _paths(volume: LittleFS) -> list[str]:
    return [str(PurePosixPath(root, name)) for root, _, names in volume.walk("/") for name in names]


def _content(volume: LittleFS, path: str) -> bytes:
    try:
        with volume.open(path, "rb") as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return b""
