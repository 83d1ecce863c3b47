"""A port, a number or an address that cannot be one is refused in one message, before anything else happens."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rootlet.cli.main import rootlet
from rootlet.errors import BadInput, RootletError

ON_A_PORT = [
    ["info"],
    ["erase"],
    ["flash", "--identity-only", "--thing", "sensor-1"],
    ["monitor"],
    ["push", "app.py"],
    ["bench"],
    ["secure", "apply", "flash-encryption", "--chip", "esp32"],
    ["advisor", "restore"],
    ["chain"],
    ["factory", "run", "monday"],
    ["factory", "reconcile", "monday"],
]
BY_NUMBER = [
    (["info", "--baud"], ["0", "-1", "x", "99999999999"]),
    (["monitor", "--baud"], ["0"]),
    (["push", "app.py", "--baud"], ["0"]),
    (["bench", "--baud"], ["0"]),
    (["bench", "--timeout"], ["nan", "inf", "0"]),
    (["chain", "127.0.0.1:9", "--timeout"], ["nan", "inf", "0", "-1", "1e300"]),
    (["factory", "run", "monday", "--patience"], ["nan", "-1", "inf"]),
    (["factory", "run", "monday", "--wait-online"], ["nan", "-1", "0"]),
    (["factory", "label", "monday", "--width"], ["nan", "0", "-1"]),
    (["advisor", "run", "--speed"], ["nan", "0"]),
    (["cloud", "rotate", "sensor-1", "--mqtt-port"], ["0", "99999"]),
    (["ca", "create", "ca", "--passphrase-fd"], ["-5", "99999999999999999999"]),
    (["image", "build", "--app", "app.py", "-o", "x.bin", "--built"], ["-1", "99999999999"]),
    (["emulate", "x.bin", "--mac"], ["zz", "24:0a:c4", ""]),
    (["emulate", "x.bin", "--heapsize"], ["0", "10", "x", "99999999999K"]),
]


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text("print(1)\n")
    (tmp_path / "config.json").write_text(json.dumps({"endpoint": "x.localhost"}))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("port", ["foo://x", "socket://", "socket://x", "socket://x:99999", "rfc2217://x", "socket://[::1"])
def test_a_url_that_names_no_port_is_refused_with_the_forms_that_do(port: str) -> None:
    for command in ON_A_PORT:
        refused = CliRunner().invoke(rootlet, [*command, "--port", port]).exception
        assert isinstance(refused, BadInput), (command, refused)
        assert f"--port {port}:" in refused.what and "socket://HOST:PORT" in refused.hint


@pytest.mark.parametrize(("command", "values"), BY_NUMBER, ids=lambda value: value[-1] if "-" in value[-1] else "")
def test_a_value_out_of_its_range_is_refused_by_the_options_name(command: list[str], values: list[str]) -> None:
    for value in values:
        result = CliRunner().invoke(rootlet, [*command, value])
        assert result.exit_code == 2, (command, value, result.output)
        assert f"Invalid value for '{command[-1]}'" in result.output.replace("\n", " "), result.output
        assert isinstance(result.exception, SystemExit)


def test_a_speed_that_the_port_cannot_do_is_told() -> None:
    for command in (["info"], ["monitor"], ["bench"], ["push", "app.py"]):
        result = CliRunner().invoke(rootlet, [*command, "--port", "/dev/null", "--baud", "7"])
        assert isinstance(result.exception, RootletError) and result.exception.hint, (command, result.exception)
