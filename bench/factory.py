"""The factory line: boards an hour, the host's work beside the wire's, and deferred registration under AWS's throttle.

``bench/factory.py [--ports 1,2,4,8] [--boards N] [--deferred N]``. The station is the real command and the boards are mocks
in a process of their own, so that their work is not counted as the station's.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests")]

import boto3
from rootlet.board import image
from rootlet.board.chip import Chip
from rootlet.board.definition import load_board
from rootlet.board.images import load
from rootlet.cloud import lifecycle
from rootlet.factory import station, views
from rootlet.factory.admission import ConnectedBoard
from rootlet.factory.books import verify_books
from rootlet.factory.plan import BatchPlan, NewIdentity
from rootlet.factory.schema import State, Step
from rootlet.factory.signing import check_ca
from rootlet.pki import keys
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox
from rootlet.trust.roots import load_manifest
from support.aws_proxy import AwsProxy, PerSecond
from support.download_mode import DownloadMode
from support.factory_line import PASSPHRASE, FactoryLine, mac, unlocked

BAUD = 921_600
BITS_PER_BYTE = 10  # on a serial line: start, eight, stop
ROM_BAUD = 115_200
ASSETS = 700_000  # random bytes in the image: with them it is as long on the wire as one with MicroPython
SWAP = 0.4  # seconds that a mock stays away before the next one is there: the station must notice


def boards(ready: Connection, ports: int, each: int, content: bytes) -> None:
    """The mocks' process: at every port one board after the other."""
    stop = threading.Event()
    places: list[str] = []

    def port(number: int) -> None:
        listen = 0
        for at in range(each):
            with DownloadMode(flash=content, mac=mac(1 + number * each + at), listen=listen) as board:
                if not listen:
                    places.append(board.port)
                    listen = int(board.port.rpartition(":")[2])
                while not stop.is_set() and (number, at) not in done:
                    time.sleep(0.02)
            time.sleep(SWAP)

    done: set[tuple[int, int]] = set()
    threads = [threading.Thread(target=port, args=(number,)) for number in range(ports)]
    for thread in threads:
        thread.start()
    while len(places) < ports:
        time.sleep(0.01)
    ready.send(places)
    while True:
        finished = ready.recv()
        if finished is None:
            break
        number = int(finished.replace(":", "")[-4:], 16) - 1
        done.add((number // each, number % each))
    stop.set()
    for thread in threads:
        thread.join()


@contextmanager
def mocks(ports: int, each: int, content: bytes) -> Iterator[tuple[Connection, list[str]]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=boards, args=(theirs, ports, each, content))
    process.start()
    try:
        yield ours, ours.recv()
    finally:
        ours.send(None)
        process.join()


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and everything below it (proc(5))."""
    children: dict[int, list[int]] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        one = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(one)
        seconds[one] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        total += seconds.get(one, 0.0)
        waiting += children.get(one, [])
    return total


def throughput(directory: Path, ca: Path, golden: bytes, fresh: bool, ports: int, each: int) -> tuple[float, float]:
    """Boards an hour, and the station's own seconds of CPU a board."""
    home = directory / f"{ports}-{fresh}"
    home.mkdir()
    content = b"\xff" * len(golden) if fresh else golden
    with FactoryLine(home, ca, golden if fresh else None, golden) as line, mocks(ports, each, content) as (pipe, places):
        line.open(ports * each)
        process = line.start(ports=places, once=False)
        seen: set[str] = set()
        first = last = 0.0
        used = 0.0
        while len(seen) < ports * each:
            for one in views.lines(line.database, "monday", states=(State.WAITING,)):
                if one.mac not in seen and one.mac:
                    seen.add(one.mac)
                    pipe.send(one.mac)
                    last = time.monotonic()
            if seen and not first:
                first, before, used = last, len(seen), cpu_of(process.pid)
            time.sleep(0.02)
        # From the first boards' end to the last one's: the start of the processes is no board's.
        boards_then = len(seen) - before
        cpu = (cpu_of(process.pid) - used) / boards_then
        rate = boards_then * 3600 / (last - first)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    return rate, cpu


def wire(directory: Path, ca: Path, golden: bytes, fresh: bool) -> tuple[int, float]:
    """Bytes on the wire for one board, and the seconds they take: 115,200 baud until esptool's stub runs, then 921,600."""
    chips: list[Chip] = []
    slow: list[int] = []

    class Counted(Chip):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            chips.append(self)
            slow.append(self.wire.sent + self.wire.received)

    home = directory / f"wire-{fresh}"
    home.mkdir()
    with FactoryLine(home, ca, golden if fresh else None, b"\xff" * len(golden) if fresh else golden) as line:
        line.open(1)
        (board,) = line.plug(1)
        vars(station)["Chip"] = Counted
        try:
            line.make(board, baud=BAUD, image=load(home / "golden.bin", bare=True) if fresh else None)
        finally:
            vars(station)["Chip"] = Chip
    size = chips[0].wire.sent + chips[0].wire.received
    return size, slow[0] * BITS_PER_BYTE / ROM_BAUD + (size - slow[0]) * BITS_PER_BYTE / BAUD


def deferred(directory: Path, ca: Path, count: int, kills: int) -> None:
    """Register ``count`` boards under a throttle of 10 a second, killed again and again."""
    shm = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(dir=shm if shm.is_dir() else directory))
    try:
        with Sandbox() as sandbox, AwsProxy(sandbox.facts.api_url, PerSecond(10)) as proxy:
            os.environ.update(sandbox.facts.environment)
            with FactoryLine(home, ca, None, b"") as line:
                wait_for_registration(line, ca, count)
                environment = {**line.variables(), **sandbox.facts.environment, "AWS_ENDPOINT_URL": proxy.url}
                command = [sys.executable, "-m", "rootlet.cli.main", "factory", "register", "monday", "--json"]
                chance = random.Random(1)
                began = time.monotonic()
                for _ in range(kills):
                    process = subprocess.Popen(
                        [*command, "--ledger", line.where], env=environment, stdout=subprocess.DEVNULL
                    )
                    time.sleep(chance.uniform(0.5, 1.5) * count / 10 / (kills + 2))
                    process.kill()
                    process.wait()
                for _ in range(3):
                    last = subprocess.run(
                        [*command, "--ledger", line.where], env=environment, capture_output=True, text=True, check=False
                    )
                    if last.returncode == 0:
                        break
                seconds = time.monotonic() - began
                done = line.count(State.DONE)
                known = lifecycle.statuses(boto3.client("iot"))
                findings = verify_books(line.database).findings
                told = json.loads(last.stdout)
        print(f"deferred      {count} registrations, 10/s allowed, killed {kills} times: {seconds:.0f} s")
        print(f"              {done} done in the ledger, {len(known)} certificates in AWS, {len(findings)} findings")
        print(f"              {count / seconds:.2f} a second, {count / seconds / 10:.0%} of what the throttle lets through")
        print(f"              the last run failed for {len(told['failed'])}; requests: {dict(proxy.calls)}")
        assert done == len(known) == count and not findings
    finally:
        shutil.rmtree(home)


def wait_for_registration(line: FactoryLine, ca: Path, count: int) -> None:
    """Boards that left the station and wait: the ledger's side of it, without the boards."""
    plan = BatchPlan(board="esp32_generic", customer="Bench", ca_sha256=check_ca(ca).sha256, ca=str(ca))
    ledger = line.ledger
    ledger.open_batch("monday", [NewIdentity(f"bench-{n:05}") for n in range(count)], plan)
    authority = unlocked(ca)
    for number in range(count):
        record = ledger.assign("monday", ConnectedBoard(mac(number)))
        assert record is not None
        certificate = authority.certify(record.thing, keys.generate().public_key())
        for step in (Step.ISSUE, Step.BURN, Step.PROVE, Step.QUEUE, Step.LABEL):
            ledger.begin(record, step)
            record = ledger.finish(record, step, certificate=certificate if step is Step.ISSUE else None)


def main(ports: list[int], each: int, count: int, kills: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        ca = directory / "ca"
        Authority.create(ca, PASSPHRASE.encode(), name="Bench CA", subject=Subject())
        application = directory / "application"
        application.mkdir()
        (application / "main.py").write_text("print('application runs')\n")
        (application / "assets.bin").write_bytes(random.Random(1).randbytes(ASSETS))
        board, config = load_board("esp32_generic"), {"endpoint": "a1b2c3-ats.iot.eu-west-1.amazonaws.com"}
        golden = image.build(board, config, application, load_manifest().defaults(), built=1_790_000_000).flash
        cores = os.cpu_count() or 1
        for fresh in (False, True) if ports else ():
            size, seconds = wire(directory, ca, golden, fresh)
            what = "image and identity" if fresh else "identity alone"
            print(f"{what}: {size} bytes on the wire, {seconds:.2f} s at {BAUD} baud (the stub at {ROM_BAUD})")
            for number in ports:
                rate, cpu = throughput(directory, ca, golden, fresh, number, each)
                limit = number * 3600 / seconds
                host = cores * 3600 / cpu
                print(f"  {number} ports {rate:7.0f} boards an hour with mocks; the station's CPU {cpu:.2f} s a board")
                print(f"      {cores} cores could do {host:.0f}, {number} wires {limit:.0f}: {host / limit:.1f} times")
        if count:
            deferred(directory, ca, count, kills)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", default="1,2,4,8", help="numbers of ports, or nothing (default 1,2,4,8)")
    parser.add_argument("--boards", type=int, default=4, help="boards a port (default 4)")
    parser.add_argument("--deferred", type=int, default=200, help="deferred registrations (default 200)")
    parser.add_argument("--kills", type=int, default=3, help="how often that is killed (default 3)")
    chosen = parser.parse_args()
    main([int(n) for n in chosen.ports.split(",") if n], chosen.boards, chosen.deferred, chosen.kills)
