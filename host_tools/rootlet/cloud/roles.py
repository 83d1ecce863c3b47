"""The IAM role that AWS IoT takes to provision devices: whether it exists, trusts AWS IoT and allows what is needed."""

import json
import re
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.exceptions import ClientError

from rootlet.aws_answers import checked
from rootlet.cloud.client import TIMEOUTS
from rootlet.errors import BadInput

SERVICE = "iot.amazonaws.com"
NEEDED = (
    "iot:CreateThing",
    "iot:UpdateCertificate",
    "iot:AttachPolicy",
    "iot:AttachThingPrincipal",
)
"""The least that a template of JITP calls, all of which is in AWS's managed policy AWSIoTThingsRegistration."""

_ROLE = re.compile(r"arn:[\w-]+:iam::(?P<account>\d{12}):role/(?:[!-~]*/)?(?P<name>[\w+=,.@-]{1,64})", re.ASCII)
"""IAM: ARNs of roles, with their path."""

_HINT = f"make a role that {SERVICE} may assume, with the managed policy AWSIoTThingsRegistration"


def check(arn: str, account: str) -> list[str]:
    """What could not be looked at, since IAM refused to tell; empty where the role is known to be of use.

    Raises BadInput for a role of another ``account``, one that is not there or that AWS IoT may not assume, and one that
    does not allow what is NEEDED.
    """
    match = _ROLE.fullmatch(arn)
    if match is None:
        raise BadInput(f"{arn!r} is not the ARN of a role", hint="give it as arn:aws:iam::123456789012:role/NAME")
    if match["account"] != account:
        raise BadInput(f"role {match['name']} is of account {match['account']}, not of {account}", hint=_HINT)
    iam: Any = checked(boto3.client("iam", config=TIMEOUTS))
    try:
        role = iam.get_role(RoleName=match["name"])["Role"]
    except iam.exceptions.NoSuchEntityException:
        raise BadInput(f"the account has no role {match['name']}", hint=_HINT) from None
    except ClientError as error:
        return [f"whether role {match['name']} exists is not known: {_refusal(error)}"]
    if role["Arn"] != arn:
        raise BadInput(f"the ARN of role {match['name']} is {role['Arn']}, not {arn}", hint="give it with its path")
    if not _trusts(role["AssumeRolePolicyDocument"]):
        raise BadInput(f"role {match['name']} does not trust {SERVICE}", hint=_HINT)
    try:
        pages = iam.get_paginator("simulate_principal_policy").paginate(PolicySourceArn=arn, ActionNames=list(NEEDED))
        found = [entry for page in pages for entry in page["EvaluationResults"]]
    except ClientError as error:
        return [f"what role {match['name']} allows is not known: {_refusal(error)}"]
    denied = [entry["EvalActionName"] for entry in found if entry["EvalDecision"] != "allowed"]
    if denied:
        raise BadInput(f"role {match['name']} does not allow {', '.join(denied)}", hint=_HINT)
    return []


def _trusts(document: Any) -> bool:
    given = json.loads(unquote(document)) if isinstance(document, str) else document
    statements = given.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else [principal]
        actions = statement.get("Action", [])
        named = {action.lower() for action in ([actions] if isinstance(actions, str) else actions)}
        if (
            statement.get("Effect") == "Allow"
            and SERVICE in ([services] if isinstance(services, str) else services)
            and named & {"sts:assumerole", "sts:*", "*"}
        ):
            return True
    return False


def _refusal(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", error))
