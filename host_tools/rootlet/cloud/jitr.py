"""Just-in-time registration: a worker that activates devices from here, or a template that does it in AWS."""

import json
import queue
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.cloud import jitr_rules, preflight
from rootlet.cloud.client import aws_errors
from rootlet.errors import BadInput, RootletError
from rootlet.files import read_input

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

TOPIC = "$aws/events/certificates/registered/"


def rules(allow: Path | None, issuers: Sequence[str]) -> dict[str, Any]:
    """The rules as a document. ``allow`` is a file of thing names or certificate IDs.

    Raises BadInput for no rule, and for a line that is no name.
    """
    if allow is None and not issuers:
        raise BadInput(
            "no rule is given: every device of every CA would be activated",
            hint="give --allow FILE, --issuer CA_ID, or both",
        )
    made: dict[str, Any] = {"allow": None, "issuers": list(issuers) or None}
    if allow is not None:
        made["allow"] = list(_allowed(allow))
    return made


def _allowed(path: Path) -> Iterator[str]:
    try:
        text = read_input(path, "allow list").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not text", hint="save the file as UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        try:
            yield aws_names.check(Name.THING, name)  # a certificate ID has that form as well
        except BadInput as error:
            raise BadInput(f"{path}, line {number}: {error.what}", hint=error.hint) from None


def sweep(iot: "IoTClient", wanted: dict[str, Any], policies: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The decisions about every certificate that is pending now, since no worker was listening.

    Raises BadInput before the first one where the account lacks one of the ``policies`` or issuers.
    """
    with aws_errors():
        _check(iot, wanted, policies)
        for page in iot.get_paginator("list_certificates").paginate():
            for entry in page["certificates"]:
                if entry["status"] != "PENDING_ACTIVATION":
                    continue
                done = _admit(iot, wanted, entry["certificateId"], policies)
                if done["done"] != "nothing":
                    yield done


def work(
    iot: "IoTClient",
    wanted: dict[str, Any],
    policies: Sequence[str],
    report: Callable[[dict[str, Any]], None],
    *,
    ready: Callable[[], None],
) -> None:
    """Decide about pending certificates, then about new ones until interrupted. ``report`` gets each decision.

    Raises RootletError.
    """
    from rootlet.cloud import messages

    with aws_errors():
        _check(iot, wanted, policies)
    events: queue.Queue[Any] = queue.Queue()
    # The subscription begins before the sweep, so that no device is missed between the two.
    with messages.listening(TOPIC + "+", events.put):
        ready()
        for done in sweep(iot, wanted, policies):
            report(done)
        while True:
            try:
                event = events.get(timeout=1)
            except queue.Empty:
                continue
            if isinstance(event, dict) and "certificateId" in event:
                report(_admit(iot, wanted, event["certificateId"], policies))


def _check(iot: "IoTClient", wanted: dict[str, Any], policies: Sequence[str]) -> None:
    """An issuer that is misspelt would deactivate every device that waits."""
    preflight.check_policies(iot, policies)
    preflight.check_authorities(iot, wanted["issuers"] or ())


def _admit(iot: "IoTClient", wanted: dict[str, Any], certificate_id: str, policies: Sequence[str]) -> dict[str, Any]:
    # An error with one device must not stop the others: it is reported, and the device tries again.
    try:
        with aws_errors():
            return jitr_rules.admit(iot, wanted, certificate_id, policies)
    except RootletError as error:
        return {"certificate": certificate_id, "thing": "", "done": "failed", "why": error.what}
    raise AssertionError


def template(wanted: dict[str, Any], policies: Sequence[str]) -> dict[str, Any]:
    """A CloudFormation template: the same logic as a Lambda function, its least-privilege role, and the IoT rule."""
    code = resources.files("rootlet.cloud").joinpath("jitr_rules.py").read_text()
    certificates = {"Fn::Sub": "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:cert/*"}
    things = {"Fn::Sub": "arn:${AWS::Partition}:iot:${AWS::Region}:${AWS::AccountId}:thing/*"}
    on_certificates = ["iot:DescribeCertificate", "iot:UpdateCertificate", "iot:AttachPolicy", "iot:AttachThingPrincipal"]
    statements = [
        {"Effect": "Allow", "Action": on_certificates, "Resource": certificates},
        {"Effect": "Allow", "Action": "iot:CreateThing", "Resource": things},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::Sub": "${Log.Arn}"},
        },
    ]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Activates devices that register themselves (JITR), by rule. Made by rootlet cloud jitr template.",
        "Resources": {
            "Log": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": {"Fn::Sub": "/rootlet/jitr/${AWS::StackName}"}, "RetentionInDays": 90},
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": _assumed_by("lambda.amazonaws.com"),
                    "Policies": [
                        {
                            "PolicyName": "activate-devices",
                            "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                        }
                    ],
                },
            },
            "Activate": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Handler": "index.handler",
                    "Runtime": "python3.13",
                    "Timeout": 30,
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "Code": {"ZipFile": code},
                    "Environment": {"Variables": {"RULES": json.dumps(wanted), "POLICIES": json.dumps(list(policies))}},
                    "LoggingConfig": {"LogGroup": {"Ref": "Log"}},
                },
            },
            "Rule": {
                "Type": "AWS::IoT::TopicRule",
                "Properties": {
                    "TopicRulePayload": {
                        "Sql": f"SELECT * FROM '{TOPIC}+'",  # noqa: S608 - a topic filter, and a constant
                        "AwsIotSqlVersion": "2016-03-23",
                        "Actions": [{"Lambda": {"FunctionArn": {"Fn::GetAtt": ["Activate", "Arn"]}}}],
                    }
                },
            },
            "MayCall": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunction",
                    "FunctionName": {"Ref": "Activate"},
                    "Principal": "iot.amazonaws.com",
                    "SourceAccount": {"Ref": "AWS::AccountId"},
                    "SourceArn": {"Fn::GetAtt": ["Rule", "Arn"]},
                },
            },
        },
    }


def _assumed_by(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    return {"Version": "2012-10-17", "Statement": [statement]}
