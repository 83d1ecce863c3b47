"""Bytes on the wire and time to provision a board, beside the peers: ``.venv/bin/python bench/flashing.py [ROUNDS]``.

Everybody talks to the same mock ROM bootloader (or, for mpremote, to the same virtual board on a pty) in one run, in turn.
A counting relay lies between, so that the bytes are counted alike. Wall time here is the host's and the mock's, never a
chip's: a mock erases and writes in no time. The physical limit of a serial line, 10 bits a byte, stands beside each.
The image holds the official ESP32_GENERIC 1.25.0, from ../shared/firmware or from a wheel on PyPI.
"""

# ruff: noqa: E402, E501, I001
import contextlib
import functools
import io
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS)]

from support import official
from support.flashkit import BUILT, CONFIG, mint, new_issuer
from support.serial_board import SerialBoard

from rootlet import resources
from rootlet.board import filesystem, firmware, flasher, image, secure_cert
from rootlet.board.chip import Chip
from rootlet.board.definition import load_board
from support.download_mode import DownloadMode
from rootlet.trust.roots import load_manifest

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
BAUDS = (115_200, 460_800, 921_600)
BIN = Path(sys.executable).parent
SAMPLE = resources.FIRMWARE / "apps" / "sample"


@dataclass
class Relay:
    """Counts what passes between a client and the mock, both ways."""

    to: str
    up: int = 0
    down: int = 0

    def __enter__(self) -> "Relay":
        host, port = self.to.removeprefix("socket://").split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(client, server, "up"), daemon=True).start()
                threading.Thread(target=self._carry, args=(server, client, "down"), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                setattr(self, way, getattr(self, way) + len(data))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Transfer:
    up: int
    down: int
    seconds: float


def on_mock(start: bytes, work: Callable[[str], object], expected: bytes | None) -> Transfer:
    with DownloadMode("esp32", flash=start) as board, Relay(board.port) as relay:
        began = time.perf_counter()
        work(relay.port)
        seconds = time.perf_counter() - began
        if expected is not None and board.flash != expected:
            raise SystemExit("a contender left other bytes on the flash than it should have")
        return Transfer(relay.up, relay.down, seconds)


def without_vfs(flash: bytes) -> bytes:
    return flash[:0x200000].ljust(len(flash), b"\xff")


def run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")


def rootlet_flash(flash: bytes, port: str) -> None:
    with Chip(port, chip="esp32") as chip:
        flasher.burn(chip, flasher.regions(flash))


def rootlet_identity(identity: object, port: str) -> None:
    with Chip(port, chip="esp32") as chip:
        flasher.write_identity(chip, identity)  # type: ignore[arg-type]


def esptool_write(path: Path, offset: str, port: str) -> None:
    run(str(BIN / "esptool"), "--chip", "esp32", "--port", port, "--before", "no-reset", "--after", "no-reset",
        "write-flash", offset, str(path))  # fmt: skip


def secure_cert_tool_and_esptool(directory: Path, port: str) -> None:
    """What the tool's own flashing does, but over a socket: generate, then esptool as a command."""
    run(sys.executable, str(BIN / "configure_esp_secure_cert.py"), "--private-key", "device.key", "--device-cert", "device.crt",
        "--ca-cert", "issuer.crt", "--target_chip", "esp32", "--secure_cert_type", "cust_flash_tlv", "--priv_key_algo", "ECDSA",
        "256", "--skip_flash", cwd=directory)  # fmt: skip
    esptool_write(next(directory.rglob("esp_secure_cert.bin")), "0xD000", port)


def mpremote_copy(flash: bytes, files: dict[str, bytes], scratch: Path) -> Transfer:
    """The files of vfs by ``mpremote cp``, onto the virtual board; the pty's cable counts."""
    tree = scratch / "tree"
    for name, data in files.items():
        (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tree / name[1:]).write_bytes(data)
    (scratch / "flash.bin").write_bytes(flash)
    with SerialBoard(scratch / "flash.bin") as line:
        began = time.perf_counter()
        run(str(BIN / "mpremote"), "connect", line.port, "resume", "cp", "-f", "-r", *map(str, sorted(tree.iterdir())), ":/")
        up, down = line.carried
        return Transfer(up, down, time.perf_counter() - began)


@contextlib.contextmanager
def inputs(micropython: bytes) -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="rootlet-bench-") as scratch:
        identity = mint(new_issuer(), "sensor-1")
        identity.save(Path(scratch, "devices"))
        board = load_board("esp32_generic")
        make = functools.partial(
            image.build, board, CONFIG, SAMPLE, load_manifest().defaults(), built=BUILT, micropython_bin=micropython
        )
        golden = make().flash
        Path(scratch, "full.bin").write_bytes(flasher.with_identity(golden, identity))
        yield {"scratch": Path(scratch), "identity": identity, "golden": golden, "make": make, "board": board}


def main() -> None:
    firmware = official.find(official.RELEASES["esp32-1.25.0"])
    if firmware is None:
        raise SystemExit("no package index to fetch a real MicroPython from")
    with inputs(firmware) as given:
        wire(given)
        building(given)


def wire(given: dict[str, object]) -> None:
    scratch, golden, identity = given["scratch"], given["golden"], given["identity"]
    assert isinstance(scratch, Path) and isinstance(golden, bytes)
    full = (scratch / "full.bin").read_bytes()
    erased = b"\xff" * len(golden)
    files = {n: d for n, d in filesystem.read(full[0x200000:]).items() if not n.startswith("/state")}
    contenders: dict[str, Callable[[], Transfer]] = {
        "full board: rootlet": lambda: on_mock(erased, functools.partial(rootlet_flash, full), full),
        "full board: esptool write-flash 0": lambda: on_mock(
            erased, functools.partial(esptool_write, scratch / "full.bin", "0"), full
        ),
        "full board again: rootlet": lambda: on_mock(full, functools.partial(rootlet_flash, full), full),
        "identity: rootlet": lambda: on_mock(golden, functools.partial(rootlet_identity, identity), full),
        "identity: esp-secure-cert-tool, esptool": lambda: on_mock(
            golden, functools.partial(secure_cert_tool_and_esptool, scratch / "devices"), None
        ),
        "vfs alone: rootlet": lambda: on_mock(without_vfs(full), functools.partial(rootlet_flash, full), full),
        "vfs alone: mpremote cp": lambda: mpremote_copy(full, files, Path(tempfile.mkdtemp(dir=scratch))),
    }
    rounds: dict[str, list[Transfer]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            rounds[name].append(contender())
    table = Table(title=f"On the wire: median of {ROUNDS} rounds in turn")
    for column in ("", "bytes sent", "received", "wall, s", *(f"limit at {baud}, s" for baud in BAUDS)):
        table.add_column(column, justify="left" if not column else "right")
    for name, results in rounds.items():
        up, down = (int(statistics.median(getattr(result, way) for result in results)) for way in ("up", "down"))
        seconds = statistics.median(result.seconds for result in results)
        limits = [f"{(up + down) * 10 / baud:.2f}" for baud in BAUDS]
        table.add_row(name, f"{up:,}", f"{down:,}", f"{seconds:.2f}", *limits)
    Console(width=140).print(table)


def building(given: dict[str, object]) -> None:
    identity, make, scratch, board = given["identity"], given["make"], given["scratch"], given["board"]
    content = firmware.files(
        SAMPLE,
        CONFIG,
        {root.name: root.der() for root in load_manifest().defaults()},
        {"built": BUILT},
        architecture="xtensawin",
    ).vfs
    tool = _their_tlv(scratch)
    contenders: dict[str, Callable[[], object]] = {
        "image build, all of it": make,  # type: ignore[dict-item]
        "  of it: mpy-cross, 1 process a file": lambda: firmware.code(SAMPLE, None),
        "  of it: littlefs-python": lambda: filesystem.build(content, board.vfs.size),  # type: ignore[attr-defined]
        "identity partition: rootlet": lambda: secure_cert.from_identity(identity),  # type: ignore[arg-type]
        "identity partition: esp-secure-cert-tool": tool,
    }
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            began = time.perf_counter()
            contender()
            rounds[name].append(time.perf_counter() - began)
    table = Table(title=f"Building, in one process: median of {ROUNDS} rounds in turn")
    table.add_column("")
    table.add_column("ms", justify="right")
    for name, times in rounds.items():
        table.add_row(name, f"{statistics.median(times) * 1000:.2f}")
    Console(width=140).print(table)


def _their_tlv(scratch: object) -> Callable[[], object]:
    from esp_secure_cert import tlv_format

    assert isinstance(scratch, Path)
    device, out = scratch / "devices", scratch / "theirs.bin"
    key_type = tlv_format.tlv_priv_key_type_t.ESP_SECURE_CERT_DEFAULT_FORMAT_KEY
    key = tlv_format.tlv_priv_key_t(key_type, str(device / "device.key"), None)
    crt, ca = str(device / "device.crt"), str(device / "issuer.crt")

    def generate() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            tlv_format.generate_partition_no_ds(key, crt, ca, None, str(out))

    return generate


if __name__ == "__main__":
    main()
