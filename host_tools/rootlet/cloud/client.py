"""AWS clients, and AWS's errors as RootletError. Credentials, profile, region and endpoint are boto3's usual ones."""

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

from rootlet.aws_answers import checked
from rootlet.errors import BadInput, RootletError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

TIMEOUTS = Config(connect_timeout=5, read_timeout=20)
"""Seconds. botocore's 60, times its attempts, would block a factory's station for minutes."""

_WAYS_OUT = {
    "AccessDeniedException": "give your AWS user the permission that the message names",
    "UnrecognizedClientException": "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
    "ExpiredTokenException": "log in to AWS again",
    "ThrottlingException": "wait a minute and run the command again: it resumes",
    "LimitExceededException": "request a higher quota from AWS, or delete what is not needed",
}


def iot() -> "IoTClient":
    """The control plane of AWS IoT. Raises BadInput where no region is configured."""
    with aws_errors():
        return checked(boto3.client("iot", config=TIMEOUTS))
    raise AssertionError  # aws_errors() never swallows


def arn_prefix() -> str:
    """The prefix of the account's ARNs, such as ``arn:aws:iot:eu-west-1:123456789012``. Raises RootletError."""
    with aws_errors():
        sts = checked(boto3.client("sts", config=TIMEOUTS))
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
    """Convert boto3's exceptions to RootletError, one line with a hint."""
    try:
        yield
    except NoRegionError:
        hint = "set AWS_DEFAULT_REGION, or choose a profile with a region; or start a sandbox: rootlet sandbox up"
        raise BadInput("no AWS region is configured", hint=hint) from None
    except NoCredentialsError:
        hint = "run aws configure, or start a sandbox: rootlet sandbox up"
        raise BadInput("no AWS credentials found", hint=hint) from None
    except EndpointConnectionError as error:
        raise RootletError(
            str(error),
            hint="check the network; for the sandbox, check that it is up and that AWS_ENDPOINT_URL is its address",
        ) from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "error")
        message = error.response.get("Error", {}).get("Message", "")
        hint = _WAYS_OUT.get(code, f"see AWS IoT's documentation of {error.operation_name}")
        raise RootletError(f"AWS refused {error.operation_name}: {code}: {message}", hint=hint) from None
    except BotoCoreError as error:
        raise RootletError(f"the request to AWS failed: {error}", hint="check the network and the AWS settings") from None
