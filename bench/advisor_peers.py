"""The honesty check of ``rootlet advisor``: other clients go through the same cases, and fail where they should.

Prints the table of docs/advisor.md. The controls run in real time: allow 15 minutes. Names as arguments choose peers.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from rootlet.emulator import frozen
from unearth import PackageFinder

PEERS = Path(__file__).parent / "peers"
MICROPYTHON = {"umqtt_robust": "micropython-umqtt.robust==1.0", "mqtt_async": "micropython-mqtt-async==0.7b4"}
NAMES = {
    "leaf": "leaf",
    "umqtt_simple": f"umqtt.simple {frozen.VERSION}",
    "umqtt_robust": "umqtt.robust 1.0",
    "mqtt_async": "mqtt-async 0.7b4",
    "paho": f"paho {version('paho-mqtt')}",
    "awsiotsdk": f"awsiotsdk {version('awsiotsdk')}",
}
MARKS = {"pass": "pass", "warn": "warn", "fail": "**fail**", "not run": "not run"}


def fetch(requirement: str, into: Path) -> None:
    """The single module of a MicroPython package that pip cannot install."""
    finder = PackageFinder(index_urls=frozen._pip_setting("index-url"))
    match = finder.find_best_match(requirement, allow_prereleases=True, allow_yanked=True).best
    assert match, requirement
    with tempfile.TemporaryDirectory() as scratch:
        finder.download_and_unpack(match.link, Path(scratch, "unpacked"), download_dir=Path(scratch))
        for name in ("umqtt/robust.py", "mqtt_async.py"):
            for found in Path(scratch, "unpacked").rglob(name):
                source = found.read_text().replace("from . import simple", "from umqtt import simple")
                (into / name.replace("/", "_")).write_text(source)


def arguments(peer: str, scratch: Path) -> list[str]:
    if peer == "leaf":
        return []
    if peer in ("paho", "awsiotsdk"):
        return ["--exec", f"{sys.executable} {PEERS / f'{peer}_client.py'}"]
    shutil.copytree(PEERS / peer, scratch / peer)
    shutil.copy(PEERS / "config_of_image.py", scratch / peer)
    if peer in MICROPYTHON:
        fetch(MICROPYTHON[peer], scratch / peer)
    return ["--app", str(scratch / peer)]


def run(peer: str) -> dict[str, dict[str, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "rootlet.cli.main", "advisor", "run", "--suite", "all", "--json"]
        done = subprocess.run([*command, *arguments(peer, Path(scratch))], capture_output=True, text=True, check=False)
    try:
        cases = json.loads(done.stdout)["cases"]
    except ValueError:
        raise SystemExit(f"{peer}: {done.stderr}") from None
    Path(tempfile.gettempdir(), f"advisor-{peer}.json").write_text(done.stdout)
    return {case["id"]: case for case in cases}


def main() -> None:
    peers = sys.argv[1:] or list(NAMES)
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(peers, pool.map(run, peers), strict=True))
    print("| case | " + " | ".join(NAMES[peer] for peer in peers) + " |")
    print("| --- |" + " --- |" * len(peers))
    for case in results[peers[0]]:
        number = results[peers[0]][case]["number"]
        shown = f"{number} {case}" if number else case
        print(f"| {shown} | " + " | ".join(MARKS[results[peer][case]["result"]] for peer in peers) + " |")


if __name__ == "__main__":
    main()
