"""The advisor and a board on a serial line: sent to the advisor, restarted for each case, and sent back."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rootlet.advisor import devices
from rootlet.board import inspect_image, redirect
from rootlet.board.partitions import SECURE_CERT, find
from rootlet.board.repl import Repl
from rootlet.cli.main import rootlet
from rootlet.errors import RootletError
from support.ntp import AdjustableTimeServer
from support.serial_board import OverTheNetwork, SerialBoard

OVERRIDES = {"keep_alive": 40}


@pytest.fixture(scope="module")
def image() -> bytes:
    return devices.build_image(devices.QUALIFICATION, {})[0]


@pytest.fixture
def board(image: bytes, tmp_path: Path) -> Iterator[SerialBoard]:
    """With settings of its own, as the cloud gave them to it earlier."""
    flash = tmp_path / "flash.bin"
    flash.write_bytes(image)
    with AdjustableTimeServer() as ntp:
        world = {
            "resolve": {"time.aws.com": "127.0.0.1", "pool.ntp.org": "127.0.0.1"},
            "ports": {"123": ntp.port},
            "reset_cause": "reset",
        }
        with SerialBoard(flash, world) as board:
            with Repl(board.port) as repl:
                repl.execute(f"from leaf import config\nconfig.override({OVERRIDES!r})")
                repl.restart()
            yield board


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def advisor(*arguments: str) -> Result:
    return CliRunner().invoke(rootlet, ["advisor", *arguments])


def run(port: str, *names: str) -> tuple[Result, dict[str, str]]:
    done = advisor("run", *names, "--listen", f"127.0.0.1:{free_port()}", "--port", port, "--json")
    return done, {case["id"]: case["result"] for case in json.loads(done.stdout)["cases"]} if done.stdout else {}


def own_files(board: SerialBoard) -> dict[str, bytes]:
    return {
        name: data
        for name, data in inspect_image.inspect(board.flash.read_bytes()).files.items()
        if name.startswith(("/roots/", "/config.json", "/state/config.json", f"/state/{redirect.NOTE}"))
    }


def test_a_board_without_a_reset_line_is_reset_at_its_prompt_and_goes_back_as_it_was(board: SerialBoard) -> None:
    before = own_files(board)
    assert json.loads(before["/state/config.json"]) == OVERRIDES
    done, results = run(board.port, "8", "18", "Ours_Power_Cut")
    assert results == {"MQTT_Connect": "pass", "MQTT_Subscribe": "pass", "Ours_Power_Cut": "not run"}
    assert done.exit_code == 0
    assert own_files(board) == before


def test_a_reset_line_switches_its_power_off_and_on(board: SerialBoard) -> None:
    before = own_files(board)
    with OverTheNetwork(board) as network:
        done, results = run(network.url, "TLS_Unsecure_Server_Cert", "Ours_Power_Cut")
    assert results == {"TLS_Unsecure_Server_Cert": "pass", "Ours_Power_Cut": "pass"}, done.exception
    assert own_files(board) == before


def test_many_cases_in_a_row_are_no_failed_boots(board: SerialBoard) -> None:
    with OverTheNetwork(board) as network:
        done, results = run(network.url, "1", "3", "4", "8", "18", "24", "Security_Device_Policies")
    assert "safe-mode" not in done.stdout
    assert results.pop("Security_Device_Policies") == "not run"
    assert set(results.values()) == {"pass"}, results


def test_a_board_that_a_broken_run_left_behind_is_restored_by_a_command(board: SerialBoard) -> None:
    before = own_files(board)
    with Repl(board.port) as repl:
        redirect.begin(repl, "127.0.0.1", 8883, {"advisor-rsa": b"not its own"})
        redirect.begin(repl, "127.0.0.1", 8884, {"advisor-rsa": b"not its own"})
    assert own_files(board).keys() - before.keys() == {"/roots/advisor-rsa.der", "/state/redirect.json"}
    assert "its own endpoint and roots again" in advisor("restore", "--port", board.port).output
    assert own_files(board) == before
    assert "nothing to restore" in advisor("restore", "--port", board.port).output


def test_a_board_without_an_identity_is_told_before_any_case_is_judged(image: bytes, tmp_path: Path) -> None:
    slot = find(inspect_image.inspect(image).partitions, SECURE_CERT)
    flash = tmp_path / "golden.bin"
    flash.write_bytes(image[: slot.offset] + b"\xff" * slot.size + image[slot.offset + slot.size :])
    with SerialBoard(flash) as line:
        done, results = run(line.port, "8")
        assert isinstance(done.exception, RootletError) and "cannot run" in done.exception.what
        assert "credentials" in done.exception.what and not results
    assert not any("advisor" in name for name in inspect_image.inspect(flash.read_bytes()).files)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--port", "/dev/ttyUSB0"], "--port /dev/ttyUSB0 needs --listen"),
        (["--port", "/dev/no-such-port", "--listen", "127.0.0.1:1883"], "no MicroPython prompt on /dev/no-such-port"),
    ],
)
def test_a_port_that_cannot_do_is_named(arguments: list[str], what: str) -> None:
    done = advisor("run", "8", *arguments)
    assert isinstance(done.exception, RootletError) and what in str(done.exception)
