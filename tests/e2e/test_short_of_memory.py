"""Too little memory, as on the chip: named as such, with what is missing, and never blamed on whom the device trusts."""

import contextlib
import io
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from rootlet import resources
from rootlet.board import firmware, heap_budget
from rootlet.emulator import c_heap
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.pki.authority import Authority
from support.chains import HOST, Chain, make_chain
from support.device import BuiltDevice, fault_line, no_line
from support.impostor import Impostor
from support.wire import receive

APPS = Path(__file__).parents[1] / "apps"
KEEPS = """
from leaf import Device
kept = bytearray(%d)
device = Device()
device.run()
"""
PUBLISHES = (APPS / "publishes.py").read_text()
COUNTS = (APPS / "counts_heap.py").read_text()
SHED = {"ssid": "shed", "password": "a-password"}
LARGE = 44_000  # bytes; half of them are counted, which with leaf is more than the first area of the GC heap


@pytest.fixture
def chain() -> Chain:
    return make_chain()


@pytest.fixture
def device(tmp_path: Path, authority: Authority, chain: Chain) -> BuiltDevice:
    root = tmp_path / "root.crt"
    root.write_bytes(chain.root.public_bytes(Encoding.PEM))
    config = {"endpoint": HOST, "wifi": [SHED]}
    made = BuiltDevice(tmp_path, authority.issue("sensor-1"), config, root, {HOST: "127.0.0.1"}, heapsize="400K")
    made.application = tmp_path / "application.py"
    return made


def figures(**other: int) -> dict[str, dict[str, dict[str, int]]]:
    """The account of a chip whose C heap differs from the worst that was seen."""
    worst = c_heap.figures()[c_heap.UNKNOWN][c_heap.UNKNOWN]
    assert worst
    return {c_heap.UNKNOWN: {c_heap.UNKNOWN: {**worst, **other}}}


def figures_of(release: str) -> dict[str, dict[str, object]]:
    """The account of a plain ESP32 with that release of MicroPython."""
    return {c_heap.UNKNOWN: {c_heap.UNKNOWN: c_heap.figures()["esp32_generic"][release]}}


PLENTY = figures(boot=500_000)


def answer(connection: socket.socket, _number: int) -> None:
    """CONNACK, and then a broker that takes everything and acknowledges it."""
    with contextlib.suppress(OSError, EOFError):
        receive(connection)
        connection.sendall(b"\x20\x02\x00\x00")
        while True:
            first, body = receive(connection)
            if first == 0x82:
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
            elif first & 0xF6 == 0x32:
                at = 2 + int.from_bytes(body[:2], "big")
                connection.sendall(b"\x40\x02" + body[at : at + 2])


@contextlib.contextmanager
def booted(device: BuiltDevice, chain: Chain, application: str, **world: object) -> Iterator[tuple[VirtualBoard, Impostor]]:
    device.application.write_text(application)
    with Impostor(chain.sent, chain.key, script=answer) as server:
        device.config = {**device.config, "port": server.port}
        with device.boot(**world) as board:
            yield board, server


def test_an_application_that_is_too_large_is_told_at_boot_and_before_a_handshake(device: BuiltDevice, chain: Chain) -> None:
    with booted(device, chain, KEEPS % LARGE, c_heap=c_heap.figures()) as (board, server):
        at_boot = board.wait_for("heap: the application is too large: .* bytes are missing").string
        line = fault_line(board, "out-of-memory")
        board.wait_for("backoff: ")
        assert no_line(board, ["tls-", "mqtt:"])
    assert "the network and TLS take 80300 bytes" in at_boot
    assert "TLS takes 35000 bytes: C heap " in line
    assert "bytes are missing; make the application smaller" in line
    assert not server.heard


def test_an_application_that_leaves_no_room_for_a_tls_context_is_out_of_memory(device: BuiltDevice, chain: Chain) -> None:
    with booted(device, chain, KEEPS % 200_000, c_heap=c_heap.figures()) as (board, _):
        assert "C heap " in fault_line(board, "out-of-memory")
        assert no_line(board, ["fault: application", "fault: tls-"])


@pytest.mark.parametrize("what", ["wifi_active", "wifi_joined"])
def test_a_radio_without_memory_is_no_lost_access_point(device: BuiltDevice, chain: Chain, what: str) -> None:
    with booted(device, chain, KEEPS % 1, c_heap=figures(boot=500_000, **{what: 450_000})) as (board, _):
        fault_line(board, "out-of-memory")
        board.wait_for("backoff: ")
        assert no_line(board, ["fault: wifi-", "fault: unexpected"])


def test_the_same_application_connects_where_there_is_more_memory(device: BuiltDevice, chain: Chain) -> None:
    with booted(device, chain, KEEPS % LARGE, c_heap=PLENTY) as (board, _):
        board.wait_for(r"heap: \d+ bytes used, \d+ free; C heap \d+ free, largest block \d+, lowest \d+")
        board.wait_for("mqtt: connected")


def test_a_handshake_that_runs_out_of_memory_is_not_taken_for_distrust(device: BuiltDevice, chain: Chain) -> None:
    starving = figures(boot=500_000, tls_handshake=450_000)
    with booted(device, chain, KEEPS % 1, c_heap=starving) as (board, server):
        line = fault_line(board, "out-of-memory")
        board.wait_for("backoff: ")
        assert no_line(board, ["fault: tls-"])
    assert "tls-untrusted-root (" in line  # what Mbed TLS made of it
    assert "lowest 0, 4096 bytes are missing" in line
    assert not server.heard


def test_distrust_with_memory_to_spare_is_distrust(device: BuiltDevice, chain: Chain) -> None:
    stranger = make_chain(root="Somebody Else's Root")
    with booted(device, stranger, KEEPS % 1, c_heap=PLENTY) as (board, _):
        assert "Somebody Else's Root" in fault_line(board, "tls-untrusted-root")


def test_an_access_point_lost_while_publishing_is_no_handshake_and_no_policy(device: BuiltDevice, chain: Chain) -> None:
    """Sockets then fail with -113, as lwIP's do."""
    with booted(device, chain, PUBLISHES, c_heap=PLENTY, wifi_outages=[[2000, 4000]]) as (board, _):
        board.wait_for("mqtt: first puback")
        line = fault_line(board, "wifi-lost")
        board.wait_for("mqtt: connected", since=board.lines.index(line))
        assert no_line(board, ["fault: tls-", "fault: policy-denied", "fault: device-certificate-refused"])


def test_the_budget_of_an_image_counts_leaf_as_the_virtual_board_does(device: BuiltDevice, chain: Chain) -> None:
    """What it fails with is what to write into heap_budget.py."""
    with booted(device, chain, COUNTS, c_heap=PLENTY) as (board, _):
        board.wait_for("mqtt: first puback")
        alive = int(board.wait_for(r"^(\d+) bytes alive", since=len(board.lines))[1])
    assert heap_budget.LEAF * 0.9 < alive < heap_budget.LEAF * 1.05


FIRST_WORD = r"^\d+ (mqtt: connected|fault: (?!no)[a-z-]+)"  # how a board's first attempt ends
BEFORE = "a1cf1c3"  # the firmware of the first measurements; on a chip it connected with 1.23.0 and never with 1.26.1


@pytest.fixture
def firmware_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``leaf`` and its applications of that commit take the place of today's in the images of a test."""
    command = ["git", "-C", str(resources.FIRMWARE), "archive", BEFORE, "."]
    archived = subprocess.run(command, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"the history of the repository does not reach back to {BEFORE}: {archived.stderr.decode().strip()}")
    directory = tmp_path / "firmware"
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(directory, filter="data")
    monkeypatch.setattr(resources, "FIRMWARE", directory)
    monkeypatch.setattr(firmware, "DATA", "/leaf")  # where it looked for its schema
    return directory


@pytest.mark.parametrize(("release", "word"), [("1.23.0", "mqtt: connected"), ("1.26.1", "fault: tls-untrusted-root")])
def test_the_firmware_that_never_connected_on_a_chip_fails_here_as_there(
    device: BuiltDevice, chain: Chain, firmware_before: Path, release: str, word: str
) -> None:
    application = (firmware_before / "apps" / "sample" / "main.py").read_text()
    with booted(device, chain, application, c_heap=figures_of(release)) as (board, _):
        assert board.wait_for(FIRST_WORD)[1] == word


@pytest.mark.parametrize("application", ["sample", "qualification"])
@pytest.mark.parametrize("release", ["1.23.0", "1.26.1"])
def test_the_firmware_of_today_connects_with_the_memory_of_a_chip(
    device: BuiltDevice, chain: Chain, release: str, application: str
) -> None:
    script = (resources.FIRMWARE / "apps" / application / "main.py").read_text()
    with booted(device, chain, script, c_heap=figures_of(release)) as (board, _):
        assert board.wait_for(FIRST_WORD)[1] == "mqtt: connected"


def test_a_device_that_stays_short_of_memory_starts_over_and_ends_up_reachable(device: BuiltDevice, chain: Chain) -> None:
    """Its boots that never connected count as failed; without the application there is memory enough."""
    with booted(device, chain, KEEPS % LARGE, c_heap=c_heap.figures(), speed=20) as (board, _):
        board.wait_for("device: short of memory again and again: starting over")
        board.wait_for("safe-mode: 4 boots in a row failed", timeout=90)
        board.wait_for("mqtt: connected")


CANNOT_LOOK = """
import leaf.climb
from leaf import Device

class Chip:  # a plain ESP32, whose heap is nearly full
    maxsize = 0x7FFFFFFF

class Full:
    collect = staticmethod(lambda: None)
    mem_alloc = staticmethod(lambda: 50000)
    mem_free = staticmethod(lambda: 60000)

leaf.climb.sys, leaf.climb.gc = Chip, Full
Device().run()
"""


def test_without_memory_to_look_at_certificates_a_stranger_is_refused_and_then_named(
    device: BuiltDevice, chain: Chain
) -> None:
    stranger = make_chain(root="Somebody Else's Root")
    with booted(device, stranger, CANNOT_LOOK, c_heap=PLENTY) as (board, server):
        first = fault_line(board, "tls-untrusted-root")
        assert "is not trusted; the next attempt says what it shows" in first
        board.wait_for("fault: tls-untrusted-root: .*Somebody Else's Root", since=board.lines.index(first) + 1)
        assert no_line(board, ["mqtt: connected"])
    assert not server.heard


def test_without_memory_to_look_at_certificates_a_trusted_server_is_one(device: BuiltDevice, chain: Chain) -> None:
    with booted(device, chain, CANNOT_LOOK, c_heap=PLENTY) as (board, _):
        board.wait_for("mqtt: connected")
        assert no_line(board, ["Real Root", "fault: tls"])
