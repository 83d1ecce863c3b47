"""A PKCS#11 token for the tests: SoftHSM (Debian: softhsm2)."""

import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class SoftHsm:
    """An initialised token. ``environment`` is what a process needs to see it, from before it loads the module."""

    module: Path
    label: str
    pin: str
    environment: dict[str, str]

    @property
    def options(self) -> tuple[str | Path, ...]:
        return ("--key-in", "token", "--pkcs11-module", self.module, "--token", self.label)


def softhsm_installed() -> bool:
    return _module() is not None and shutil.which("softhsm2-util") is not None


def make_token(home: Path) -> SoftHsm:
    module = _module()
    assert module is not None
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(f"directories.tokendir = {home}/tokens\nlog.level = DEBUG\n")
    hsm = SoftHsm(module, "factory", secrets.token_hex(6), {"SOFTHSM2_CONF": str(home / "softhsm2.conf")})
    command = ["softhsm2-util", "--init-token", "--free", "--label", hsm.label, "--pin", hsm.pin, "--so-pin", "87654321"]
    subprocess.run(command, env=hsm.environment | {"PATH": "/usr/bin:/usr/local/bin"}, check=True, capture_output=True)
    return hsm


def _module() -> Path | None:
    return next((Path(module) for module in _MODULES if Path(module).exists()), None)
