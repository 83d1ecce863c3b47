"""One device's months: a board, the world around it, and the time that both share."""

import contextlib
import json
import os
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from rootlet.advisor.chains import Chains, ServerChain
from rootlet.board import filesystem
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from support.device import BOARD, BuiltDevice

from campaign.months.board import BoardSpins, Conducted, Question
from campaign.months.broker import Broker
from campaign.months.events import HOUR, MINUTE, NEVER, SECOND, Events
from campaign.months.network import LATENCY, Network

HOST = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.localhost"
THING = "campaign"
APPLICATION = Path(__file__).parents[1] / "scripts" / "long_life.py"
BUILT = 1_790_000_000  # Unix seconds: when the image was made
BEGIN = BUILT + 5 * 86400  # and when the life begins
VALID = (BUILT - 100 * 86400, BUILT + 300 * 86400)  # the server's certificates, by the board's clock
UNSET = 946684800  # 2000-01-01: an ESP32's clock after power-on
STRIDE = 45  # seconds that the board's pulse may take together while all is well
COARSE = 5  # the same, once a trouble has lasted for a while
LEASE = 5 * MINUTE  # the world is asked again at least so often
BOOT = SECOND // 2  # of a chip, until MicroPython runs
DRIFT_ASLEEP = 0.05  # of the RTC's oscillator in deep sleep, by Espressif's data sheet, at most
TAKEN = re.compile(r"(PROMISED|TOOK) (\w+) (\d+)")
"""What the application prints of a reading that the outbox took, durably or not."""
LOOP = 60  # boots; no trouble causes as many within an hour
RESET, ENDED_WITH_POWER = 3, 1  # exit codes


@dataclass
class Boot:
    began: int
    cause: str
    ended: int = NEVER
    how: str = ""  # "reset", "sleep", "watchdog", "power", "power in flash", or what it should not be

    @property
    def orderly(self) -> bool:
        return self.how in ("reset", "sleep")


@dataclass
class Trouble:
    """What was done to the device, and the fault words that it may, and those of which it must, say of it."""

    name: str
    began: int
    allowed: frozenset[str]
    required: frozenset[str] = frozenset()
    ended: int = NEVER
    lasting: int = 0  # microseconds after its end for which ``allowed`` still holds


@dataclass
class Excuses:
    """What may be lost, or missing, for a reason that lies outside the device."""

    readings: set[tuple[str, int]] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    """Faults that nothing mends any more: what is said at every boot from then on."""


class LifeOver(Exception):  # noqa: N818 - reads as what it is
    """The device is lost, or the end has come."""


class World:
    """What the lives of one process share: a device's identity and the cloud's chain."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "World":
        scratch = tempfile.TemporaryDirectory(prefix="rootlet-months-", dir=_memory())
        self.directory = Path(self._stack.enter_context(scratch))
        authority = Authority.create(self.directory / "ca", b"campaign" * 3, name="Campaign CA", subject=Subject())
        self.identity = authority.issue(THING)
        chains = Chains.mint([HOST])
        self.chain: ServerChain = chains.ecdsa
        self.root = self.directory / "root.crt"
        self.root.write_bytes(chains.root("ec").public_bytes(Encoding.PEM))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def image(self, random: random.Random) -> tuple[BuiltDevice, int]:
        """A flash of a device whose settings are drawn, and its keep-alive in seconds."""
        application = self.directory / "application"
        shutil.rmtree(application, ignore_errors=True)
        application.mkdir()
        (application / "main.py").write_text(APPLICATION.read_text())
        (application / "life.json").write_text(json.dumps({"every": random.choice([900, 1800, 3600])}))
        keep_alive = random.choice([60, 120, 300])
        config = {
            "endpoint": HOST,
            "keep_alive": keep_alive,
            "outbox_ram": random.choice([2048, 4096]),
            "outbox_flash": random.choice([131072, 262144]),
            "wifi": [{"ssid": "near", "password": "campaign"}],
            "ntp": ["first.example", "second.example"],
        }
        device = BuiltDevice(self.directory, self.identity, config, self.root, application=application, built=BUILT)
        device.build()
        return device, keep_alive


class Life:
    """The board and its world. ``live`` goes on until a time; whoever has scheduled events troubles it meanwhile."""

    def __init__(self, world: World, seed: int) -> None:
        self.random = random.Random(seed)
        self.events = Events()
        self.broker = Broker(self.events, world.chain, self._arrived)
        self.network = Network(self.events, self.broker, self.true_time)
        self.network.names.add(HOST)
        device, self.keep_alive = world.image(self.random)
        self.flash = device.flash
        self.lines: list[tuple[int, str]] = []
        self.boots: list[Boot] = []
        self.troubles: list[Trouble] = []
        self.problems: list[str] = []
        self.excuses = Excuses()
        self.sent: dict[str, int] = {}  # messages to the application -> when
        self.unreadable: dict[int, bytes] = {}  # block of the file system -> what was in it
        self.cut = 0  # flash operations until the power fails; 0: never
        self.waiting: set[tuple[str, int]] = set()  # readings that the device took and the cloud has not
        self.changed = 0  # when a trouble last began or ended
        self.disturbed = False  # by a trouble that a connection would not survive
        self.began = time.monotonic()
        self._board: Conducted | None = None
        self._rtc, self._rtc_at = float(UNSET), 0
        self._drift = self.random.randint(-40, 40)  # millionths, of the crystal
        self._next_boot: int | None = None
        self.boot_after(0, "PWRON")

    def close(self) -> None:
        if self._board:
            self._board.end()
        self.network.close()

    # Time.

    def true_time(self) -> float:
        return BEGIN + self.events.now / SECOND

    def live(self, until: int) -> None:
        """Go on to a time. Raises LifeOver where the board is beyond help."""
        while self.events.now < until:
            if self._board is None:
                self.events.run(until)
                continue
            try:
                question = self._board.receive()
                if question is None:
                    self._has_ended(self._board.exit_code())
                else:
                    self._heed(self._board, question)
            except BoardSpins:
                self.problems.append("the board computes without end")
                raise LifeOver from None

    def say(self, line: str) -> None:
        """Note what happens in the world, among what the board says."""
        self.lines.append((self.events.now, "-- " + line))

    # The board's power.

    @property
    def running(self) -> bool:
        return self._board is not None

    @property
    def uptime(self) -> int:
        return self.events.now - self.boots[-1].began if self._board else 0

    def online(self) -> bool:
        """Whether the device is connected with what it subscribed to, and nothing waits for its acknowledgement."""
        client = self.broker.client
        return self.running and client is not None and client.began >= self.boots[-1].began and self.broker.settled

    def boot_after(self, delay: float, cause: str) -> None:
        if self._next_boot is not None:
            self.events.cancel(self._next_boot)
        self._next_boot = self.events.after(delay, lambda: self._boot(cause))

    def cut_power(self, off: float) -> None:
        """Take the board's power for so many seconds, whatever it does."""
        self.stop("power")
        self._rtc, self._rtc_at = float(UNSET), self.events.now
        self.boot_after(off * SECOND, "PWRON")

    def stop(self, how: str) -> None:
        if self._board:
            self._board.end()
            self._gone(how)

    def _boot(self, cause: str) -> None:
        self._next_boot = None
        if cause == "PWRON":
            self._rtc, self._rtc_at = float(UNSET), self.events.now
        self.boots.append(Boot(self.events.now, cause))
        self.say(f"boot {len(self.boots)}: {cause}")
        if len(self.boots) > LOOP and self.boots[-LOOP].began > self.events.now - HOUR:
            self.problems.append(f"day {self.day()}: {LOOP} boots within an hour")
            raise LifeOver
        self.network.wrote = False
        facts = {
            "cause": cause,
            "clock": int(self._clock()),
            "drift": self._drift,
            "valid": VALID,
            "radio": self.network.radio,
        }
        seed = self.random.getrandbits(30)
        began = self.events.now
        self._board = Conducted(
            self.flash, facts, seed, self._still_unreadable(), lambda line, now: self._note(began + now, line)
        )

    def _note(self, time: int, line: str) -> None:
        self.lines.append((time, line))
        if match := TAKEN.match(line):
            self.waiting.add((match[2], int(match[3])))

    def _arrived(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/meter"):
            reading = json.loads(payload)
            self.waiting.discard((reading["boot"], reading.get("n", 0)))

    def _gone(self, how: str) -> None:
        self._board = None
        self.boots[-1].ended, self.boots[-1].how = self.events.now, how
        self.cut = 0
        self.network.forget_all()

    def _has_ended(self, code: int) -> None:
        said = [line for _, line in self.lines[-60:]]
        if code == RESET:
            self._gone("reset")
            self.boot_after(BOOT, "HARD")
        elif code == ENDED_WITH_POWER and any("PowerCut" in line for line in said):
            self._gone("power in flash")
            self.boot_after(self.random.uniform(1, 600) * SECOND, "PWRON")
        else:
            self._gone(f"exit code {code}")
            self.problems.append(f"the board ended by itself (exit code {code}) on day {self.day()}")
            self.boot_after(MINUTE, "PWRON")

    def _clock(self) -> float:
        return self._rtc + (self.events.now - self._rtc_at) / SECOND * (1 + self._drift / 1e6)

    def _still_unreadable(self) -> list[int]:
        with self.flash.open("rb") as flash:
            for block, content in list(self.unreadable.items()):
                flash.seek(BOARD.vfs.offset + block * filesystem.BLOCK)
                if flash.read(filesystem.BLOCK) != content:  # erased since
                    del self.unreadable[block]
        return list(self.unreadable)

    # What the board asks.

    def _heed(self, board: Conducted, question: Question) -> None:
        events, began = self.events, self.boots[-1].began
        name = board.name(question) if question.kind == "d" else ""
        while events.run(began + question.now) and self._board is board:
            pass
        if self._board is not board:
            return
        self.network.pump()
        match question.kind:
            case "d":
                found = self.network.resolve(name)
                if self._wait(board, events.now + int(self.network.dns_delay * SECOND), idle=False):
                    board.answer_name(found)
                return
            case "s":
                slept = question.number
                self._rtc, self._rtc_at = self._clock() + slept / SECOND, events.now
                self.stop("sleep")
                real = slept * self.random.uniform(1 - DRIFT_ASLEEP, 1 + DRIFT_ASLEEP)
                self._rtc_at += int(real)
                self.boot_after(real, "DEEPSLEEP")
                return
            case "w":
                self.stop("watchdog")
                self.boot_after(BOOT, "WDT")
                return
            case "r":
                self._rtc, self._rtc_at = float(question.number), events.now
            case "i":
                if not self._wait(board, began + question.number, idle=True):
                    return
        radio, cut = self.network.radio, self.cut
        self.cut = 0
        until = min(events.next(), events.now + LEASE)
        board.answer(events.now - began, until - began, self._stride(), radio, cut)

    def _wait(self, board: Conducted, until: int, *, idle: bool) -> bool:
        # Until then, or, for an idle board, until something has happened to it. False: to this boot nothing will any more.
        radio = self.network.radio
        self.network.wrote = False
        until = min(until, self.events.now + LEASE) if idle else until
        while self._board is board and self.events.run(until):
            if idle and (self.network.wrote or self.cut or self.network.radio != radio):
                break
        return self._board is board

    def _stride(self) -> int:
        lasting, online = min(self.events.now - self.changed, self.uptime), self.online()
        if lasting > 2 * MINUTE and online and not self.disturbed and not self.waiting:
            return min(STRIDE, self.keep_alive // 3) * SECOND
        return COARSE * SECOND if lasting > 10 * MINUTE and (self.disturbed or not online) else 0

    # What others ask.

    def day(self, time: int | None = None) -> str:
        time = self.events.now if time is None else time
        return f"{time / (24 * HOUR):.3f}"

    def command(self, name: str, arguments: object = None) -> str:
        """Send a command to the device; its id."""
        identifier = f"c{len(self.sent)}-{self.random.getrandbits(24)}"
        request = {"id": identifier, "command": name, "arguments": arguments}
        self.broker.publish(f"cmd/leaf/{THING}/request", json.dumps(request).encode())
        self.say(f"command {name}")
        return identifier

    def message(self, topic: str) -> None:
        """Send a message of its own name to the application, which must print it."""
        name = f"{topic.rpartition('/')[2]}-{len(self.sent)}-{self.random.getrandbits(24)}"
        if self.broker.publish(topic, name.encode()):
            self.sent[name] = self.events.now

    def answers(self, identifier: str) -> Iterator[dict[str, object]]:
        for _, topic, payload in reversed(self.broker.arrived):
            if topic.endswith("/response"):
                answer = json.loads(payload)
                if answer.get("id") == identifier:
                    yield answer

    def said(self, start: str, since: int = 0) -> list[str]:
        """What the application printed that begins so, since a time."""
        return [line for time, line in self.lines if line.startswith(start) and time >= since]

    def counts(self) -> dict[str, int]:
        return dict(Counter(trouble.name for trouble in self.troubles))


def calm(network: Network) -> None:
    """No trouble from the network any more."""
    network.latency, network.fragment, network.stalled, network.radio, network.route = LATENCY, 0, False, 0, "open"
    network.dns_fails, network.dns_delay = False, 0.0
    network.flow_again()


def _memory() -> Path | None:
    # The flash is written ten thousand times a life, and each sync of a disk takes its time.
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None
