"""What every test may use: a CA, and a sandbox for as long as the worker lives."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority
from rootlet.pki.subject import Subject
from rootlet.sandbox.sandbox import Sandbox

# Who is started in the background by a shell ignores Ctrl-C, and so would the commands that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_sandbox_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A sandbox that runs in another terminal is none of the tests' business, nor theirs of its owner's commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


PASSPHRASE = b"correct horse battery staple"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("pki") / "fleet-ca"
    return Authority.create(directory, PASSPHRASE, name="Test Fleet CA", subject=Subject(organization="Tests"))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def aws(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> IoTClient:
    """The sandbox's control plane, with the environment that points boto3 and the commands at it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in sandbox.facts.environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("iot")


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has never heard of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
