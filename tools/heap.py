"""Where the bytes of a device's heap are: ``make heap``.

Runs leaf and its applications on a 32-bit MicroPython (tests/support/chip32) and prints what is alive: by rung of the
ladder, by module, and what a day of traffic leaves of the first area of an ESP32's heap.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from support import chip32  # noqa: E402
from support.chip32 import account, board, life, port  # noqa: E402

APPLICATIONS = {"sample": "telemetry and commands", "qualification": "the same with shadow and jobs"}


def main() -> None:
    try:
        port.path()
    except port.UnavailableError as error:
        raise SystemExit(
            f"error: no 32-bit MicroPython: {error}\nhint: install Node.js and npm, then run this again"
        ) from None
    for name, what in APPLICATIONS.items():
        print(f"\nApplication {name}: {what}. Bytes alive (with garbage), of them names")
        for mark in life.once(ROOT / "firmware" / "apps" / name):
            print(f"  {mark.event:14} {mark.alive:7,} ({mark.used:7,}) {mark.names:7,}")
    print("\nModules of leaf: bytes, of them code, names, objects")
    for module in account.modules(_all_modules()):
        print(f"  {module.name:28} {module.total:6,} {module.code:6,} {module.names:6,} {module.objects:6,}")
    print(f"\nA day in {chip32.FIRST_AREA:,} bytes, with 200 reconnects: free, largest free block")
    day = life.day(board.SAMPLE)
    for sample in day.samples:
        print(f"  after {sample.hours:4.0f} h {sample.free:7,} {sample.largest:7,}")
    print(f"  {day.connections} connections, {day.readings} readings; faults: {', '.join(sorted(day.faults))}")


def _all_modules() -> list[str]:
    firmware = ROOT / "firmware"
    paths = sorted(path.relative_to(firmware).with_suffix("") for path in (firmware / "leaf").rglob("*.py"))
    return [".".join(path.parts) for path in paths if path.stem != "__init__"]


if __name__ == "__main__":
    main()
