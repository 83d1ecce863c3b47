"""Clients of AWS, and its errors in Rootlet's words. Credentials, profile, region and endpoint are boto3's usual ones."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
)

from rootlet.errors import BadInput, RootletError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

# Seconds. botocore's 60, times its attempts, would hold up a factory's station for minutes.
_TIMEOUTS = Config(connect_timeout=5, read_timeout=20)

_WAYS_OUT = {
    "AccessDeniedException": "give your AWS user the permission it names",
    "UnrecognizedClientException": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
    "ExpiredTokenException": "log in to AWS again",
    "ThrottlingException": "wait a little and run it again: it goes on where it stopped",
    "LimitExceededException": "ask AWS for a higher quota, or remove what is not needed",
}


def iot() -> "IoTClient":
    """The control plane of AWS IoT. Raises BadInput where no region is configured."""
    with aws_errors():
        return boto3.client("iot", config=_TIMEOUTS)
    raise AssertionError  # aws_errors() never swallows


def arn_prefix() -> str:
    """What the ARNs of AWS IoT begin with here: ``arn:aws:iot:eu-west-1:123456789012``. Raises RootletError."""
    with aws_errors():
        sts = boto3.client("sts", config=_TIMEOUTS)
        caller = sts.get_caller_identity()
        partition = caller["Arn"].split(":")[1]  # aws, aws-cn, aws-us-gov
        return f"arn:{partition}:iot:{sts.meta.region_name}:{caller['Account']}"
    raise AssertionError  # aws_errors() never swallows


def whereabouts() -> str:
    """Which cloud boto3 talks to, for people: the endpoint that is set, or the account and region of AWS.

    Raises BadInput where no region or no credentials are configured.
    """
    if url := os.environ.get("AWS_ENDPOINT_URL"):
        return f"AWS_ENDPOINT_URL {url}"
    iot()  # says what is not configured
    with aws_errors():
        session = boto3.Session()
    profile = f", profile {session.profile_name}" if session.profile_name != "default" else ""
    try:
        _, _, _, region, account = arn_prefix().split(":")
    except BadInput:
        raise
    except RootletError as error:  # a network without STS, say: the command itself may still work
        return f"AWS, {session.region_name}{profile} (its account is unknown: {error.what})"
    return f"AWS account {account}, {region}{profile}"


@contextlib.contextmanager
def aws_errors() -> Iterator[None]:
    """Turn what boto3 raises into RootletError, one line with a hint."""
    try:
        yield
    except NoRegionError:
        hint = "set AWS_REGION, or a profile that has one; or start a sandbox: rootlet sandbox up"
        raise BadInput("no AWS region is configured", hint=hint) from None
    except NoCredentialsError:
        raise BadInput("no AWS credentials found", hint="aws configure, or start a sandbox: rootlet sandbox up") from None
    except EndpointConnectionError as error:
        raise RootletError(
            str(error), hint="check the network; for the sandbox, that it is up and AWS_ENDPOINT_URL is its"
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "error")
        message = error.response.get("Error", {}).get("Message", "")
        hint = _WAYS_OUT.get(code, f"see AWS IoT's documentation of {error.operation_name}")
        raise RootletError(f"AWS refused {error.operation_name}: {code}: {message}", hint=hint) from None
    except BotoCoreError as error:
        raise RootletError(f"AWS could not be asked: {error}", hint="check the network and the settings") from None
