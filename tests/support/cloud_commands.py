"""The group ``rootlet cloud`` as a user types it, and registered devices to type it about."""

from pathlib import Path

from click.testing import CliRunner, Result
from mypy_boto3_iot import IoTClient
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import registration
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def status(aws: IoTClient, identity: DeviceIdentity) -> str:
    try:
        return aws.describe_certificate(certificateId=identity.certificate_id)["certificateDescription"]["status"]
    except aws.exceptions.ResourceNotFoundException:
        return "unknown"


def known(aws: IoTClient, authority: Authority, directory: Path, thing: str) -> DeviceIdentity:
    identity = authority.issue(thing)
    identity.save(directory)
    registration.register(aws, identity, registration.RegistrationRequest("leaf", ["climate"]))
    return identity
