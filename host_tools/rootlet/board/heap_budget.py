"""What an image will keep alive in a chip's GC heap, estimated, beside what the board has for it.

The first area of the GC heap is the bound: beyond it the heap doubles, and what it takes then is missing to Wi-Fi and TLS
(``memory.py``). An application's data is not in the estimate: what it allocates when it runs, only the device can know.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rootlet.board.firmware import Files
from rootlet.board.memory import Memory
from rootlet.errors import BadInput

LEAF = 44_800
"""Bytes that ``leaf`` keeps alive at its highest, connected, without an application: the virtual board's count, as a chip's.
``tests/e2e/test_short_of_memory.py`` measures it."""

LIKELY = 1.45
"""Bytes of heap for each byte of .mpy: bytecode, its names and objects. Seen: 1.0 to 1.3 for modules whose names are known
already, 1.42 for leaf's services, 1.43 for a table of 300 entries."""

LEAST = 1.0
"""The same, less than which nothing was seen: the bytecode alone."""

IN_PLACE = 0.6
"""Of all that, what code takes that runs where it lies, in romfs or frozen: 46 of 79 KB were seen on the Unix port."""

_SERVICES = "/leaf/services/"


@dataclass(frozen=True)
class Budget:
    """In bytes. ``leaf`` and ``application`` are estimates; ``least`` is what both take for certain.

    ``spare`` is what the C heap then has left at the highest of a handshake with MicroPython ``release`` (empty: the worst
    that is known); None where nobody looked at this board's C heap.
    """

    gc_area: int
    leaf: int
    application: int
    least: int
    release: str
    spare: int | None
    spare_at_best: int | None

    @property
    def live(self) -> int:
        return self.leaf + self.application

    @property
    def fits(self) -> bool:
        """Whether it stays within the first area of the GC heap."""
        return self.live <= self.gc_area

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "live": self.live, "fits": self.fits}

    def warning(self) -> str | None:
        """What to tell whoever builds it, or None."""
        if self.fits:
            return None
        over = self.live - self.gc_area
        text = f"the GC heap's first area is too small by about {over} bytes for leaf and the application, so it doubles"
        if self.spare is None:
            return f"{text}; nobody has looked whether TLS finds memory then"
        if self.spare < 0:
            return f"{text}; TLS then lacks {-self.spare} bytes, and the device will most likely never connect"
        return f"{text}; TLS then has {self.spare} bytes to spare"


def estimate(memory: Memory, files: Files, release: str | None = None) -> Budget:
    """The budget of an image with these ``files`` on MicroPython ``release`` ("1.26.1")."""
    copied = _application(files.vfs, {**files.vfs, **files.romfs})
    in_place = _application(files.romfs, {**files.vfs, **files.romfs})
    application = copied + round(IN_PLACE * in_place)
    # leaf that is not in vfs is in romfs, or frozen
    leaf = LEAF if any(name.startswith("/leaf/") for name in files.vfs) else round(LEAF * IN_PLACE)
    likely, least = leaf + round(LIKELY * application), leaf + round(LEAST * application)
    heap = memory.of(release)
    return Budget(
        gc_area=memory.gc_area,
        leaf=leaf,
        application=likely - leaf,
        least=least,
        release=release if release and release in memory.c_heap else "",
        spare=heap.spare(memory.growth(likely)) if heap else None,
        spare_at_best=heap.spare(memory.growth(least)) if heap else None,
    )


def check(budget: Budget) -> None:
    """Raise BadInput where even the least that it takes keeps TLS from ever finding memory."""
    if budget.spare_at_best is not None and budget.spare_at_best < 0:
        raise BadInput(
            f"the application is too large: with leaf it keeps at least {budget.least} bytes alive, the GC heap of the chip "
            f"begins with {budget.gc_area}, and once it has doubled TLS lacks {-budget.spare_at_best} bytes",
            hint=f"make it {budget.least - budget.gc_area} bytes smaller or more, or choose a board with PSRAM",
        )


def _application(files: Mapping[str, bytes], every: Mapping[str, bytes]) -> int:
    # Bytes of .mpy among files: the application's own, and of leaf's services those that it names.
    own = [code for name, code in every.items() if name.endswith(".mpy") and not name.startswith("/leaf/")]
    named = {name for name in every if name.startswith(_SERVICES) and any(_module(name) in code for code in own)}
    if named:
        named.add(_SERVICES + "__init__.mpy")
    counted = {name for name in files if name.endswith(".mpy") and not name.startswith("/leaf/")} | (named & files.keys())
    return sum(len(files[name]) for name in counted)


def _module(path: str) -> bytes:
    """``/leaf/services/shadow.mpy`` as bytecode names it."""
    return path.removesuffix(".mpy").strip("/").replace("/", ".").encode()
