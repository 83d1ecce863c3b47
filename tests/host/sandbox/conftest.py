"""Devices of the sandbox under test."""

from collections.abc import Iterator

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority
from rootlet.sandbox.sandbox import Sandbox
from rootlet.sandbox.server import SandboxSettings
from support.registered import Register, registering


@pytest.fixture(scope="session")
def impatient() -> Iterator[Sandbox]:
    """A sandbox whose shortest keep-alive, and whose minutes of a job's timeout, are one second."""
    with Sandbox(SandboxSettings(shortest_keep_alive=1, job_minute=1)) as running:
        yield running


@pytest.fixture
def register(aws: IoTClient, authority: Authority) -> Register:
    """Register an identity with a policy of these statements, and a thing of its name that has these attributes."""
    return registering(aws, authority)
