"""Without an extra, its commands are refused by one line that names it; their help needs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from rootlet.errors import RootletError
from rootlet.extras import MODULES, require

# Python finds no module that sys.modules maps to None: as on a machine where `pip install rootlet` was all.
PLAIN = "import sys; sys.modules.update(dict.fromkeys({modules!r})); from rootlet.cli.main import main; main()"
EVERY = [module for modules in MODULES.values() for module in modules]


def plain_rootlet(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine that has none of the extras."""
    command = [sys.executable, "-c", PLAIN.format(modules=EVERY), *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("sandbox", ["sandbox", "up", "--api-port", "0", "--mqtt-port", "0"]),
        ("emulator", ["emulate", "flash.bin"]),
        ("factory", ["factory", "open", "monday", "--count", "3", "--pattern", "s-###", "--ca", "fleet-ca"]),
        ("factory", ["factory", "run", "monday", "--all-ports"]),
        ("factory", ["factory", "status", "monday"]),
        ("factory", ["factory", "label", "monday", "-o", "labels.pdf"]),
        ("factory", ["factory", "console", "--listen", "127.0.0.1:0"]),
        ("hsm", ["ca", "create", "fleet-ca", "--key-in", "token", "--token", "t", "--pkcs11-module", "flash.bin"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_a_command_without_its_extra_is_refused_by_name(tmp_path: Path, extra: str, arguments: list[str]) -> None:
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * (2 << 20))
    (tmp_path / "pin").write_text("1234")
    secret = ["--passphrase-file", "pin"] if extra == "hsm" else []
    done = plain_rootlet(tmp_path, *arguments, *secret)
    assert done.returncode == 1, done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert MODULES[extra][0] in error
    assert hint == f"hint: pip install 'rootlet[{extra}]'"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flash.bin", "pin"]


@pytest.mark.parametrize(
    "group", [["factory", "open"], ["factory", "run"], ["sandbox", "up"], ["emulate"], ["ca", "create"]]
)
def test_help_needs_no_extra(tmp_path: Path, group: list[str]) -> None:
    done = plain_rootlet(tmp_path, *group, "--help")
    assert done.returncode == 0, done.stderr
    assert f"rootlet {' '.join(group)}" in done.stdout


def test_the_modules_of_each_extra_are_installed_for_the_tests() -> None:
    for extra in MODULES:
        require(extra, "a test")


def test_one_missing_module_is_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(RootletError, match="labels needs segno, which is not installed"):
        require("factory", "labels")
