"""One bad day of a virtual board, drawn from a seed: its readings, the cloud's messages, troubles, and what must hold after.

Promised readings arrive, undamaged; messages arrive; the board comes back by itself, without an exception, and with its heap
in bounds.
"""

import contextlib
import json
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rootlet.board import filesystem
from rootlet.emulator.virtual_board import VirtualBoard
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from support.chains import HOST
from support.device import BOARD, BuiltDevice
from support.mosquitto import Mosquitto, Watcher
from support.ntp import AdjustableTimeServer
from support.proxy import FaultyProxy

APPLICATION = (Path(__file__).parents[0] / "scripts" / "numbered_readings.py").read_text()

SPEED = 10  # of the board's time: a fault of half a second is five of its own
HEAP = 150 * 1024  # bytes of Python heap in use at a new connection, of 160 KiB
SETTLE = 90  # seconds in which all must be well again once the troubles are over
EVENTS = 4  # troubles a run
SPARE = 22  # blocks that a flash without room to spare has left
UNSET = 946684800  # 2000-01-01: an ESP32's clock after power-on
NETWORK = ("reset", "reset", "stall", "stall", "down", "fragments", "slow", "thief", "dns")
TROUBLES = (*NETWORK, "radio", "clock", "power", "orderly", "cut", "cut", "blackout")


@dataclass
class DayResult:
    """What one run did and found; ``problems`` is empty where all is well."""

    seed: int
    promised: int = 0
    delivered: int = 0
    duplicates: int = 0
    news: int = 0
    boots: int = 0
    full_flash: bool = False
    heap: int = 0
    troubles: dict[str, int] = field(default_factory=dict)
    seconds: float = 0
    problems: list[str] = field(default_factory=list)


class World:
    """What the runs of one process share: a broker, a device's identity, and its images, with flash to spare and without."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "World":
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="rootlet-campaign-")))
        authority = Authority.create(self.directory / "ca", b"campaign" * 3, name="Campaign CA", subject=Subject())
        self.broker = self._stack.enter_context(Mosquitto(self.directory, authority))
        application = self.directory / "application"
        application.mkdir()
        (application / "main.py").write_text(APPLICATION)
        self.device = BuiltDevice(
            self.directory,
            authority.issue("campaign"),
            {
                "endpoint": HOST,
                "keep_alive": 30,
                "outbox_ram": 2048,
                "outbox_flash": 1 << 20,
                "connect_timeout": 5,
                "wifi": [{"ssid": "near", "password": "campaign"}],
                "wifi_timeout": 5,
                "ntp": ["first.example", "second.example"],
            },
            self.broker.root,
            application=application,
            built=int(time.time()) - 86400,
        )
        self.device.build()
        self.roomy = self.device.flash.rename(self.directory / "roomy.bin")
        vfs = BOARD.vfs
        used = filesystem.used(self.roomy.read_bytes()[vfs.offset : vfs.offset + vfs.size])
        (application / "filler.bin").write_bytes(random.Random(1).randbytes(vfs.size - used - SPARE * filesystem.BLOCK))
        self.device.build()
        self.full = self.device.flash.rename(self.directory / "full.bin")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Run:
    """One seed's day."""

    def __init__(self, world: World, seed: int, events: int) -> None:
        self._world = world
        self._events = events
        self._random = random.Random(seed)
        self.outcome = DayResult(seed)
        self.lines: list[str] = []
        self._sent: set[str] = set()  # news that must be got
        self._subscribed_from = 0  # the line from which a subscription counts
        self._began, self._at = time.time(), time.monotonic()
        self._lie: Callable[[float], float | None] = lambda now: now

    def run(self) -> DayResult:
        self.outcome.full_flash = self._random.random() < 0.15
        shutil.copyfile(self._world.full if self.outcome.full_flash else self._world.roomy, self._world.device.flash)
        _steal(self._world.broker.plain_port)  # and with it the session of the run before
        with contextlib.ExitStack() as stack:
            self._proxy = stack.enter_context(FaultyProxy(self._world.broker.port))
            self._ntp = stack.enter_context(AdjustableTimeServer(self._time))
            self._watcher = stack.enter_context(Watcher(self._world.broker.plain_port))
            self._boot()
            try:
                self._day()
                self._settle()
            except (AssertionError, RuntimeError) as problem:
                self.outcome.problems.append(str(problem))
            finally:
                self._unplug()
            self._judge()
        self.outcome.seconds = round(time.monotonic() - self._at, 2)
        return self.outcome

    def _day(self) -> None:
        for _ in range(self._events):
            time.sleep(self._random.uniform(0.1, 1.2))
            trouble = self._random.choice(TROUBLES)
            self._board.lines.append(f"-- {trouble}")
            self.outcome.troubles[trouble] = self.outcome.troubles.get(trouble, 0) + 1
            getattr(self, "_" + trouble)()
            self._news()

    def _settle(self) -> None:
        self._lie = lambda now: now
        self._proxy.delay = self._proxy.fragment = 0
        if not self._alive() or self._random.random() < 0.3:
            self._power()
        promised = self._promises()
        seen = len(self._all_lines())
        newest: set[tuple[str, int]] = set()

        def well() -> bool:
            nonlocal newest
            if not self._alive():
                raise RuntimeError("the board ended by itself")
            newest = newest or _promised(self._all_lines()[seen:])
            delivered = self._delivered()
            return promised <= delivered and bool(newest) and newest <= delivered and self._sent <= self._got()

        try:
            self._watcher.wait_for(well, SETTLE)
        except AssertionError:
            lost, unheard = promised - self._delivered(), self._sent - self._got()
            raise AssertionError(
                f"{SETTLE} s later: {len(lost)} promised readings did not arrive {sorted(lost)[:2]}, {len(unheard)} "
                f"messages were not heard {sorted(unheard)[:2]}, new readings {'come' if newest else 'are not stored'}"
            ) from None
        self.outcome.promised = len(self._promises())

    def _judge(self) -> None:
        arrived = self._watcher.on("/tick")
        self.outcome.delivered = len(self._delivered())
        self.outcome.duplicates = len(arrived) - self.outcome.delivered
        self.outcome.news = len(self._sent)
        if broken := [reading for reading in arrived if not _sound(reading)]:
            self.outcome.problems.append(f"{len(broken)} readings are damaged, first {broken[0]!r}")
        for line in _told_with_power(self.lines):
            if re.search(r"fault: (unexpected|out-of-memory|application|protocol|config|credentials)|Error|safe-mode", line):
                self.outcome.problems.append(f"the board said: {line}")
            if used := re.search(r"heap: (\d+) bytes used", line):
                self.outcome.heap = max(self.outcome.heap, int(used[1]))
        if self.outcome.heap > HEAP:
            self.outcome.problems.append(f"{self.outcome.heap} bytes of heap in use at a new connection")

    # The troubles.

    def _reset(self) -> None:
        self._proxy.cut()

    def _stall(self) -> None:
        self._proxy.stalled = True
        time.sleep(self._random.uniform(0.1, 1.5))
        if self._random.random() < 0.5:
            self._proxy.cut()
        self._proxy.stalled = False

    def _down(self) -> None:
        self._proxy.down = True
        time.sleep(self._random.uniform(0.1, 1.5))
        self._proxy.down = False

    def _fragments(self) -> None:
        self._proxy.fragment = self._random.randint(1, 3)
        self._proxy.cut()
        time.sleep(self._random.uniform(0.2, 0.6))
        self._proxy.fragment = 0

    def _slow(self) -> None:
        self._proxy.delay = self._random.uniform(0.02, 0.1)
        self._proxy.cut()
        time.sleep(self._random.uniform(0.3, 1))
        self._proxy.delay = 0

    def _thief(self) -> None:
        # What the broker kept for the session is gone with it.
        self._sent &= self._got()
        self._subscribed_from = len(self._all_lines())
        _steal(self._world.broker.plain_port)

    def _power(self) -> None:
        self._unplug()
        self._boot()

    def _blackout(self) -> None:
        # Nothing is acknowledged any more, and then the power fails: what was on its way must still be in flash.
        self._proxy.stalled = True
        time.sleep(self._random.uniform(0.3, 1.2))
        self._unplug()
        self._proxy.cut()
        self._proxy.stalled = False
        self._boot()

    def _orderly(self) -> None:
        request = json.dumps({"id": "campaign", "command": "leaf.restart"}).encode()
        self._watcher.publish("cmd/leaf/campaign/request", request)

    def _cut(self) -> None:
        self._unplug()
        self._boot(power_cut=self._random.randint(1, 60))
        self._board.ended(within=self._random.uniform(0.3, 2))
        self._power()

    def _radio(self) -> None:
        self._unplug()
        start = self._random.randint(0, 8000)
        self._boot(wifi_outages=[[start, start + self._random.randint(500, 20000)]])
        time.sleep(self._random.uniform(0.2, 1))

    def _clock(self) -> None:
        asked = self._ntp.asked
        lie = self._random.choice([UNSET - 86400, 4_090_000_000, None])
        self._lie = lambda now: lie if self._ntp.asked <= asked + 2 else now
        self._unplug()
        self._boot(clock=UNSET + self._random.randint(0, 1000))
        time.sleep(self._random.uniform(0.1, 1))

    def _dns(self) -> None:
        self._unplug()
        # Nobody listens at the first address; and the next lookup finds the service elsewhere.
        self._boot(addresses=["127.0.0.9", "127.0.0.1"])
        time.sleep(self._random.uniform(0.1, 0.5))
        self._proxy.cut()

    # The rest of the world.

    def _news(self) -> None:
        """The cloud's messages, to a device whose subscription stands."""
        if not any("mqtt: subscribed" in line for line in self._all_lines()[self._subscribed_from :]):
            return
        for _ in range(self._random.randint(0, 3)):
            name = f"{self.outcome.seed}-{len(self._sent)}-{self._random.getrandbits(24)}"
            self._watcher.publish("fleet/news", name.encode())
            self._sent.add(name)

    def _boot(self, addresses: list[str] | None = None, **extra: Any) -> None:
        extra.setdefault("clock", self._now())
        ports = {"8883": self._proxy.port, "123": self._ntp.port}
        seed = self._random.getrandbits(30)
        self._world.device.resolve = {
            HOST: addresses or "127.0.0.1",  # type: ignore[dict-item]  # the shim takes several, as a server has
            "first.example": "127.0.0.1",
            "second.example": "127.0.0.1",
        }
        self._board: VirtualBoard = self._world.device.boot(speed=SPEED, seed=seed, ports=ports, **extra)
        self._board.start()
        self.outcome.boots += 1

    def _unplug(self) -> None:
        self._board.stop()
        self.lines += self._board.lines

    def _alive(self) -> bool:
        return not self._board.ended()

    def _now(self) -> float:
        return self._began + (time.monotonic() - self._at) * SPEED

    def _time(self) -> float | None:
        return self._lie(self._now())

    def _all_lines(self) -> list[str]:
        return [*self.lines, *self._board.lines]

    def _promises(self) -> set[tuple[str, int]]:
        return _promised(self._all_lines())

    def _got(self) -> set[str]:
        return {line[4:] for line in self._all_lines() if line.startswith("GOT ")}

    def _delivered(self) -> set[tuple[str, int]]:
        return {(reading["boot"], reading["n"]) for reading in self._watcher.on("/tick") if _sound(reading)}


def _told_with_power(lines: list[str]) -> Iterator[str]:
    """The lines without the last words of a board whose power was cut: the file it was writing cannot be closed any more."""
    for number, line in enumerate(lines):
        if "heap is locked" in line and any("PowerCut" in later for later in lines[number : number + 40]):
            continue
        yield line


def _promised(lines: Iterable[str]) -> set[tuple[str, int]]:
    found = set()
    for line in lines:
        if match := re.fullmatch(r"PROMISED (\w+) (\d+) (\d+)", line):
            found |= {(match[1], number) for number in range(int(match[2]), int(match[3]) + 1)}
    return found


def _steal(port: int) -> None:
    """Connect under the board's client ID with a clean session: the broker drops the board and all it kept for it."""
    connected = threading.Event()
    thief = paho.Client(CallbackAPIVersion.VERSION2, client_id="campaign", clean_session=True)
    thief.on_connect = lambda *_: connected.set()
    thief.connect("127.0.0.1", port)
    thief.loop_start()
    assert connected.wait(5)
    thief.disconnect()
    thief.loop_stop()


def _sound(reading: Any) -> bool:
    return isinstance(reading, dict) and reading.get("check") == (reading.get("n", 0) * 7919) % 65521


def run(world: World, seed: int, events: int = EVENTS, logs: Path | None = None) -> DayResult:
    """One day. What the board said goes to the directory ``logs`` if something was wrong."""
    day = Run(world, seed, events)
    outcome = day.run()
    if outcome.problems and logs:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"seed-{seed}.txt").write_text("\n".join([*outcome.problems, *day.lines]))
    return outcome
