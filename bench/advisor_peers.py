"""The honesty check of ``rootlet advisor``: other clients go through the same cases, and fail where they should.

Prints the table of docs/advisor.md, and why each failed on stderr. The controls run in real time: allow ten minutes.
Names as arguments choose peers.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from rootlet.advisor import runner
from rootlet.emulator.frozen import UMQTT, Source, directory_of

AT_ONCE, SHARES = 12, 6
PEERS = Path(__file__).parent / "peers"
ROBUST = Source(
    "micropython-umqtt.robust",
    "1.0",
    "22a1b8c8e1128281efb13b3020927d07e33c5b747869da2cd77d37983a9ea002",
    "umqtt/robust.py",
)
MQTT_ASYNC = Source(
    "micropython-mqtt-async", "0.7b4", "c10a8a34064adad629f71f7ea559f7070169ce13c180265509f68f58618eec2b", "mqtt_async.py"
)
MICROPYTHON = {"umqtt_robust": ROBUST, "mqtt_async": MQTT_ASYNC}
NAMES = {
    "leaf": "leaf",
    "umqtt_simple": f"umqtt.simple {UMQTT.version}",
    "umqtt_robust": "umqtt.robust 1.0",
    "mqtt_async": "mqtt-async 0.7b4",
    "paho": f"paho {version('paho-mqtt')}",
    "awsiotsdk": f"awsiotsdk {version('awsiotsdk')}",
}
MARKS = {"pass": "pass", "warn": "warn", "fail": "**fail**", "not run": "not run"}


def arguments(peer: str, scratch: Path) -> list[str]:
    if peer == "leaf":
        return []
    if peer in ("paho", "awsiotsdk"):
        return ["--exec", f"{sys.executable} {PEERS / f'{peer}_client.py'}"]
    shutil.copytree(PEERS / peer, scratch / peer)
    shutil.copy(PEERS / "config_of_image.py", scratch / peer)
    if peer in MICROPYTHON:
        source = MICROPYTHON[peer]
        # As a module of the application: the package `umqtt` is frozen.
        code = (directory_of(source) / source.module).read_text().replace("from . import simple", "from umqtt import simple")
        (scratch / peer / source.module.replace("/", "_")).write_text(code)
    return ["--app", str(scratch / peer)]


def run(peer: str, cases: list[str], given: list[str]) -> dict[str, dict[str, str]]:
    command = [sys.executable, "-m", "rootlet.cli.main", "advisor", "run", *cases, "--json", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return {case["id"]: case for case in json.loads(done.stdout)["cases"]}
    except ValueError:
        raise SystemExit(f"{peer}: {done.stderr}") from None


def main() -> None:
    peers = sys.argv[1:] or list(NAMES)
    catalogue = [case.id for case in runner.select((), "all")]
    results: dict[str, dict[str, dict[str, str]]] = {peer: {} for peer in peers}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        given = {peer: arguments(peer, Path(scratch)) for peer in peers}
        # Most of it is waiting: several at once, each with a share of the cases.
        jobs = [
            (peer, pool.submit(run, peer, catalogue[share::SHARES], given[peer]))
            for share in range(SHARES)
            for peer in peers
        ]
        for peer, job in jobs:
            results[peer] |= job.result()
    print("| case | " + " | ".join(NAMES[peer] for peer in peers) + " |")
    print("| --- |" + " --- |" * len(peers))
    for case in catalogue:
        number = results[peers[0]][case]["number"]
        shown = f"{number} {case}" if number else case
        print(f"| {shown} | " + " | ".join(MARKS[results[peer][case]["result"]] for peer in peers) + " |")
    for peer in peers:
        for found in results[peer].values():
            if found["result"] in ("fail", "warn"):
                print(f"{NAMES[peer]}: {found['id']}: {found['result']}: {found['evidence']}", file=sys.stderr)


if __name__ == "__main__":
    main()
