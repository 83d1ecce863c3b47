"""TestAuthorization in the sandbox: it answers in the form of AWS's API model, by the policies that connections get."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_iot import IoTClient
from rootlet.cloud import registration
from rootlet.pki.authority import Authority

PREFIX = "arn:aws:iot:us-east-1:000000000000"


def registered(aws: IoTClient, authority: Authority, thing: str, document: dict[str, Any] | None = None) -> str:
    """A device with the policies that Rootlet makes, or with one of its own. Returns its certificate's ARN."""
    if document is None:
        return registration.register(
            aws, authority.issue(thing), registration.RegistrationRequest("leaf", ["climate"])
        ).certificate_arn
    aws.create_policy(policyName=f"{thing}-policy", policyDocument=json.dumps(document))
    wanted = registration.RegistrationRequest(policy=f"{thing}-policy")
    return registration.register(aws, authority.issue(thing), wanted).certificate_arn


def ask(aws: IoTClient, principal: str, action: Any, *resources: str, **more: Any) -> Any:
    infos: Any = [{"actionType": action, "resources": [f"{PREFIX}:{resource}" for resource in resources]}]
    (result,) = aws.test_authorization(principal=principal, authInfos=infos, **more)["authResults"]
    return result


def names(part: Any) -> list[str]:
    return [policy["policyName"] for policy in part["policies"]]


def test_what_a_device_may_do_is_allowed_by_the_policy_that_allows_it(aws: IoTClient, authority: Authority) -> None:
    arn = registered(aws, authority, "ask-1")
    for action, resource in (
        ("CONNECT", "client/ask-1"),
        ("PUBLISH", "topic/dt/leaf/ask-1/climate"),
        ("SUBSCRIBE", "topicfilter/cmd/leaf/ask-1/request"),
        ("RECEIVE", "topic/cmd/leaf/ask-1/request"),
    ):
        result = ask(aws, arn, action, resource, clientId="ask-1")
        assert (result["authDecision"], names(result["allowed"])) == ("ALLOWED", ["rootlet-leaf"])
        assert result["authInfo"] == {"actionType": action, "resources": [f"{PREFIX}:{resource}"]}


def test_what_nothing_allows_is_an_implicit_deny_of_the_policies_without_a_match(
    aws: IoTClient, authority: Authority
) -> None:
    arn = registered(aws, authority, "ask-2")
    result = ask(aws, arn, "PUBLISH", "topic/dt/leaf/another/climate", clientId="ask-2")
    assert result["authDecision"] == "IMPLICIT_DENY"
    assert names(result["denied"]["implicitDeny"]) == ["rootlet-leaf"] and names(result["allowed"]) == []
    both = ask(aws, arn, "PUBLISH", "topic/dt/leaf/ask-2/climate", "topic/dt/leaf/another/climate", clientId="ask-2")
    assert both["authDecision"] == "IMPLICIT_DENY", "one resource that is denied denies"


def test_without_a_client_id_what_needs_one_is_missing(aws: IoTClient, authority: Authority) -> None:
    statements = [
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{PREFIX}:topic/${{iot:ClientId}}"},
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}},
        },
    ]
    arn = registered(aws, authority, "ask-3", {"Version": "2012-10-17", "Statement": statements})
    assert ask(aws, arn, "PUBLISH", "topic/ask-3")["missingContextValues"] == ["iot:ClientId"]
    assert ask(aws, arn, "PUBLISH", "topic/ask-3", clientId="ask-3")["authDecision"] == "ALLOWED"
    by_address = ask(aws, arn, "CONNECT", "client/ask-3", clientId="ask-3")
    assert (by_address["authDecision"], by_address["missingContextValues"]) == ("IMPLICIT_DENY", ["aws:SourceIp"])


def test_an_explicit_deny_wins_and_policies_are_added_and_skipped(aws: IoTClient, authority: Authority) -> None:
    arn = registered(aws, authority, "ask-4")
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "iot:Publish", "Resource": "*"}]}
    aws.create_policy(policyName="ask-deny", policyDocument=json.dumps(deny))
    topic = "topic/dt/leaf/ask-4/climate"
    denied = ask(aws, arn, "PUBLISH", topic, clientId="ask-4", policyNamesToAdd=["ask-deny"])
    assert (denied["authDecision"], names(denied["denied"]["explicitDeny"])) == ("EXPLICIT_DENY", ["ask-deny"])
    assert names(denied["allowed"]) == ["rootlet-leaf"]
    skipped = ask(aws, arn, "PUBLISH", topic, clientId="ask-4", policyNamesToSkip=["rootlet-leaf"])
    assert skipped["authDecision"] == "IMPLICIT_DENY"


def test_a_thing_group_is_a_principal(aws: IoTClient) -> None:
    arn = aws.create_thing_group(thingGroupName="ask-group")["thingGroupArn"]
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
    aws.create_policy(policyName="ask-group-policy", policyDocument=json.dumps(allow))
    aws.attach_policy(policyName="ask-group-policy", target=arn)
    assert names(ask(aws, arn, "CONNECT", "client/x")["allowed"]) == ["ask-group-policy"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"principal": f"{PREFIX}:cert/{'0' * 64}"}, "ResourceNotFoundException"),
        ({"principal": f"arn:aws:iot:us-east-1:111111111111:cert/{'0' * 64}"}, "ResourceNotFoundException"),
        ({"principal": "somebody"}, "InvalidRequestException"),
        ({"cognitoIdentityPoolId": "us-east-1:1"}, "InvalidRequestException"),
        ({"authInfos": [{"actionType": "CONNECT", "resources": ["*"]}] * 11}, "InvalidRequestException"),
        ({"authInfos": [{"actionType": "DELETE", "resources": ["*"]}]}, "InvalidRequestException"),
        ({"policyNamesToAdd": ["ask-nowhere"]}, "ResourceNotFoundException"),
    ],
)
def test_what_the_api_model_forbids_is_refused(
    request_: dict[str, Any], code: str, aws: IoTClient, authority: Authority
) -> None:
    arn = registered(aws, authority, "ask-5")
    whole = {"principal": arn, "authInfos": [{"actionType": "CONNECT", "resources": ["*"]}], **request_}
    with pytest.raises(ClientError) as refused:
        aws.test_authorization(**whole)
    assert refused.value.response["Error"]["Code"] == code
