"""``rootlet bench``: a virtual board on a serial port reports of itself, and is left running."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.board import bench_report, console, inspect_image
from rootlet.cli.main import rootlet
from support.device import BuiltDevice
from support.serial_board import OverTheNetwork, SerialBoard

MakeDevice = Callable[[str], BuiltDevice]
MAC = "24:0a:c4:00:00:01"  # what SerialBoard gives a board
WIFI = [{"ssid": "plant-7", "password": "not-to-be-shown"}]


@pytest.fixture
def device(registered: MakeDevice) -> BuiltDevice:
    made = registered("bench-thing-1")
    made.config = {**made.config, "wifi": WIFI}
    made.build()
    return made


@pytest.fixture
def board(device: BuiltDevice) -> Iterator[SerialBoard]:
    with SerialBoard(device.flash, {"resolve": dict(device.resolve), "reset_cause": "reset"}) as line:
        yield line


def runs_on(port: str) -> bool:
    """Whether the board says by itself that it connects, or goes on with its telemetry."""
    return any("first puback" in line or "climate acknowledged" in line for line in console.lines(port, 115_200, seconds=30))


def test_a_board_reports_of_itself_and_runs_on(board: SerialBoard, tmp_path: Path) -> None:
    with OverTheNetwork(board) as network:
        done = CliRunner().invoke(rootlet, ["bench", "--port", network.url, "--json", "-o", str(tmp_path / "r.json")])
        assert done.exit_code == 0, done.output
        assert runs_on(network.url)
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "r.json").read_text()) and not bench_report.problems(report)
    assert (report["reset_by"], report["board"], report["chip"]) == ("line", "esp32_generic", "esp32")
    assert (report["flash_bytes"], report["leaf"], report["code"]) == (4 << 20, "0.1.0", "vfs")
    assert report["micropython"].startswith("MicroPython ") and report["platform"] == "linux"
    (run,) = report["runs"]
    assert run["connected"] and run["boots"] == 1 and not run["faults"] and run["reset_cause"] == "hard"
    at = run["rungs_ms"]
    assert at["identity"] <= at["wifi"] <= at["tcp"] <= at["tls"] <= at["mqtt"] <= at["puback"]
    assert run["handshake_ms"] == at["tls"] - at["tcp"] > 0 and run["before_leaf_ms"] is not None
    assert run["gc_heap"]["used"] > 0 and run["gc_largest_free_after"] > 0 and run["flash_operations"] > 0
    assert {"free", "lowest", "largest"} <= run["c_heap_after"].keys()
    assert report["median"]["rungs_ms.puback"] == at["puback"]


def test_nothing_that_names_the_device_or_its_network_is_in_the_report(board: SerialBoard, device: BuiltDevice) -> None:
    assert device.identity
    done = CliRunner().invoke(rootlet, ["bench", "--port", board.port, "--json"])
    secrets = [
        device.identity.thing,
        device.identity.certificate_id,
        device.config["endpoint"],
        "Test Fleet CA",
        "127.0.0.1",
    ]
    secrets += [MAC, MAC.replace(":", ""), MAC.replace(":", "-"), WIFI[0]["ssid"], WIFI[0]["password"], board.port]
    heard = done.stderr
    assert device.identity.thing in heard and WIFI[0]["ssid"] in heard  # so the board did say them
    assert not [secret for secret in secrets if secret.lower() in done.stdout.lower()]


def test_a_port_without_a_reset_line_gets_soft_resets_and_runs_give_medians(board: SerialBoard) -> None:
    done = CliRunner().invoke(rootlet, ["bench", "--port", board.port, "--runs", "5", "--json"])
    report = json.loads(done.stdout)
    assert report["reset_by"] == "soft" and len(report["runs"]) == 5
    pubacks = sorted(run["rungs_ms"]["puback"] for run in report["runs"])
    assert report["median"]["rungs_ms.puback"] == pubacks[2]
    assert all(run["before_leaf_ms"] is None for run in report["runs"])
    # Five resets in a row, and no safe mode: each boot was proved by the Ctrl-C that ended it.
    assert runs_on(board.port)
    assert json.loads(inspect_image.inspect(board.flash.read_bytes()).files["/state/boots.json"])[0] == 0


def test_a_board_that_does_not_connect_is_reported_with_its_faults(make_device: MakeDevice) -> None:
    device = make_device("bench-thing-2")
    device.build()
    with SerialBoard(device.flash, {"resolve": {}}) as board:
        done = CliRunner().invoke(rootlet, ["bench", "--port", board.port, "--timeout", "5", "--json"])
    assert done.exit_code == 1
    (run,) = json.loads(done.stdout)["runs"]
    assert not run["connected"] and run["faults"]["dns"] >= 1 and "puback" not in run["rungs_ms"]


def test_a_bench_that_is_interrupted_leaves_the_board_running(board: SerialBoard) -> None:
    command = [sys.executable, "-m", "rootlet.cli.main", "bench", "--port", board.port, "--runs", "100"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as bench:
        assert bench.stderr is not None
        assert next(line for line in bench.stderr if "first puback" in line)
        sent = board.carried[0]
        while board.carried[0] < sent + 100:  # it is asked at its prompt: its application has stopped
            time.sleep(0.001)
        bench.send_signal(signal.SIGINT)
        rest = threading.Thread(target=bench.stderr.read)
        rest.start()
        assert bench.wait(60) == 130
        rest.join()
    assert runs_on(board.port)


def test_a_board_without_leaf_is_named(device: BuiltDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rootlet.board import bench

    monkeypatch.setattr(bench, "BOOT", 3)
    (tmp_path / "other.py").write_text("print('something else')\n")
    device.application = tmp_path / "other.py"
    device.build()
    with SerialBoard(device.flash) as board:
        done = CliRunner().invoke(rootlet, ["bench", "--port", board.port])
    assert "does not start leaf within 3 s" in str(done.exception)
