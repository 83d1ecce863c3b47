"""Devices of the sandbox under test."""

import pytest
from mypy_boto3_iot import IoTClient
from rootlet.pki.authority import Authority
from support.registered import Register, registering


@pytest.fixture
def register(aws: IoTClient, authority: Authority) -> Register:
    """Register an identity with a policy of these statements, and a thing of its name that has these attributes."""
    return registering(aws, authority)
