"""The virtual board's C heap: what takes of it, what gives back, and what does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
from rootlet.emulator import c_heap
from rootlet.emulator.virtual_board import BoardSettings, VirtualBoard
from support.flashes import write

WORST = c_heap.figures()[c_heap.UNKNOWN][c_heap.UNKNOWN] or {}
BOOT = WORST["boot"]
PRELUDE = """
import json, esp32, network, socket, tls
seen = []
def look():
    _, free, largest, lowest = esp32.idf_heap_info(esp32.HEAP_DATA)[0]
    assert largest <= free and lowest <= free
    seen.append(free)
def wrap():
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    return context.wrap_socket(socket.socket(), server_hostname="host", do_handshake_on_connect=False)
look()
"""


def run(flash: Path, script: str, **other: int) -> Any:
    """What the script leaves in ``seen``, on a board of the worst figures but for ``other``."""
    write(flash, PRELUDE + script + "\nprint(json.dumps(seen))\n")
    figures = {c_heap.UNKNOWN: {c_heap.UNKNOWN: {**WORST, **other}}}
    with VirtualBoard(flash, BoardSettings(heapsize="1M", extra={"c_heap": figures})) as board:
        board.wait()
    return json.loads(board.lines[-1])


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    return tmp_path / "flash.bin"


def test_a_fresh_boot_has_all_of_it(flash: Path) -> None:
    assert run(flash, "") == [BOOT]


def test_the_gc_heap_doubles_when_what_is_alive_outgrows_it_and_never_for_garbage(flash: Path) -> None:
    garbage = "for _ in range(10): bytearray(60000)\nlook()\n"
    kept = "kept = bytearray(140000)\nlook()\nkept = None\nlook()\n"
    assert run(flash, garbage + kept) == [BOOT, BOOT, BOOT - WORST["gc_area"], BOOT - WORST["gc_area"]]


def test_a_gc_heap_that_cannot_grow_any_more_is_a_memory_error(flash: Path) -> None:
    script = "kept = bytearray(500000)\ntry:\n    look()\nexcept MemoryError:\n    seen.append('no memory')\n"
    assert run(flash, script) == [BOOT, "no memory"]


def test_the_radio_takes_its_share_and_gives_it_back(flash: Path) -> None:
    script = (
        "radio = network.WLAN(network.STA_IF)\nradio.active(True)\nlook()\nradio.connect('shed')\nlook()\n"
        "radio.disconnect()\nlook()\nradio.active(False)\nlook()\n"
    )
    idle = BOOT - WORST["imports"]
    active = idle - WORST["wifi_active"]
    assert run(flash, script) == [BOOT, active, active - WORST["wifi_joined"], active, idle]


def test_a_tls_socket_takes_its_buffers_until_it_is_closed(flash: Path) -> None:
    idle = BOOT - WORST["imports"] - WORST["tls_context"]
    assert run(flash, "sock = wrap()\nlook()\nsock.close()\nlook()\n") == [BOOT, idle - WORST["tls_socket"], idle]


def test_a_tls_socket_that_does_not_fit_is_refused_with_enomem(flash: Path) -> None:
    script = "try:\n    wrap()\nexcept OSError as error:\n    seen.append(error.errno)\n"
    assert run(flash, script, tls_socket=BOOT) == [BOOT, 12]


def test_every_board_has_its_own_figures_or_the_worst_that_were_seen() -> None:
    known = c_heap.figures()
    assert known["esp32_generic"]["1.23.0"] != WORST
    assert known["esp32_generic"][c_heap.UNKNOWN] == known["esp32_generic"]["1.26.1"] == WORST
    assert known["esp32_generic_c3"][c_heap.UNKNOWN] == {**WORST, "gc_area": 64_000}
    assert known["m5stack_core2_aws"][c_heap.UNKNOWN] is None  # PSRAM
