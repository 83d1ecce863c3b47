"""What policies decide, against the rules that AWS documents."""

import ipaddress
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from rootlet.errors import BadInput
from rootlet.pki import keys
from rootlet.policies import variables
from rootlet.policies.decision import Decision, decide
from rootlet.policies.document import characters, parse
from rootlet.policies.variables import Thing, Variables, of_certificate, of_connection
from support import certificates

PREFIX = "arn:aws:iot:eu-west-1:123456789012"
THING = "${iot:Connection.Thing.ThingName}"


def allow(action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": f"{PREFIX}:{resource}", **more}


def ask(statements: list[dict[str, Any]], action: str, resource: str, values: Variables | None = None) -> Decision:
    policy = parse("p", json.dumps({"Version": "2012-10-17", "Statement": statements}))
    return decide([policy], action, f"{PREFIX}:{resource}", values or Variables())


def attached(**attributes: str) -> Variables:
    return of_connection("pump-1", None, Thing("pump-1", "pump", attributes), "10.1.2.3")


def certificate(subject: list[x509.NameAttribute[Any]], *extensions: x509.ExtensionType) -> x509.Certificate:
    issuer = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Inc"), x509.NameAttribute(NameOID.COMMON_NAME, "CA 1")]
    said = [(extension, False) for extension in extensions]
    return certificates.certificate(
        x509.Name(subject), keys.generate(), said, issuer=x509.Name(issuer), serial=0x921285CBB7A5E086
    )


def test_what_nothing_names_is_denied() -> None:
    assert not ask([allow("iot:Publish", "topic/a")], "iot:Publish", "topic/b").allowed
    assert not ask([allow("iot:Publish", "topic/a")], "iot:Receive", "topic/a").allowed
    assert ask([allow("iot:Publish", "topic/a")], "iot:Publish", "topic/a").allowed


def test_an_explicit_deny_beats_every_allow_and_is_named() -> None:
    statements = [allow("iot:*", "*"), {"Sid": "No", "Effect": "Deny", "Action": "iot:publish", "Resource": "*"}]
    decision = ask(statements, "iot:Publish", "topic/a")
    assert not decision.allowed
    assert decision.by
    assert decision.by.title == "Deny by statement 2 (No) of policy p"


@pytest.mark.parametrize(
    ("pattern", "topic", "fits"),
    [
        ("a/*", "a/b/c", True),
        ("a/?", "a/b", True),
        ("a/?", "a/bc", False),
        ("a/+", "a/b", False),  # MQTT's wildcards are none in a policy
        ("a/+", "a/+", True),
        ("a.c", "abc", False),
        ("A", "a", False),
        ("a", "a\n", False),
    ],
)
def test_stars_and_question_marks_are_wildcards_and_nothing_else(pattern: str, topic: str, fits: bool) -> None:
    assert ask([allow("iot:Publish", f"topic/{pattern}")], "iot:Publish", f"topic/{topic}").allowed == fits


def test_a_variable_stands_for_its_value_and_shows_it() -> None:
    decision = ask([allow("iot:Publish", f"topic/dt/{THING}/x")], "iot:Publish", "topic/dt/pump-1/x", attached())
    assert decision.allowed
    assert decision.values == {"iot:Connection.Thing.ThingName": "pump-1"}
    assert decision.by
    assert decision.by.resource == f"{PREFIX}:topic/dt/pump-1/x"
    assert not ask([allow("iot:Publish", f"topic/dt/{THING}/x")], "iot:Publish", "topic/dt/pump-2/x", attached()).allowed


def test_a_wildcard_in_a_value_is_none() -> None:
    values = of_connection("*", None)
    statements = [allow("iot:Connect", "client/${iot:ClientId}"), allow("iot:Publish", "topic/${iot:ClientId}")]
    assert ask(statements, "iot:Publish", "topic/*", values).allowed
    assert not ask(statements, "iot:Publish", "topic/other", values).allowed


def test_a_variable_without_a_value_stays_and_matches_no_topic_of_a_device() -> None:
    decision = ask([allow("iot:Publish", f"topic/{THING}")], "iot:Publish", "topic/pump-1", of_connection("pump-1", None))
    assert not decision.allowed
    assert decision.values == {"iot:Connection.Thing.ThingName": None}


def test_a_things_type_and_attributes_are_variables() -> None:
    resource = "topic/${iot:Connection.Thing.ThingTypeName}/${iot:Connection.Thing.Attributes[site]}"
    assert ask([allow("iot:Publish", resource)], "iot:Publish", "topic/pump/north", attached(site="north")).allowed
    assert not ask([allow("iot:Publish", resource)], "iot:Publish", "topic/pump/north", attached(Site="north")).allowed


ORGANIZATION = "iot:Certificate.Subject.Organization"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"iot:ClientId": "pump-1"}}, True),
        ({"StringEquals": {"iot:clientid": ["x", "pump-1"]}}, True),
        ({"StringEquals": {"iot:ClientId": "pump-2"}}, False),
        ({"StringEquals": {"iot:ClientId": "pump-1", "iot:Connection.Thing.ThingName": "x"}}, False),
        ({"StringEquals": {"iot:ClientId": "${iot:Connection.Thing.ThingName}"}}, True),
        ({"StringNotEquals": {"iot:ClientId": ["a", "pump-1"]}}, False),
        ({"StringNotEquals": {"iot:ClientId": ["a", "b"]}}, True),
        ({"StringLike": {"iot:ClientId": "pump-*"}}, True),
        ({"StringNotLike": {"iot:ClientId": "pump-*"}}, False),
        ({"StringEqualsIgnoreCase": {"iot:ClientId": "PUMP-1"}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": "true"}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": True}}, True),
        ({"Bool": {"iot:Connection.Thing.IsAttached": ["false"]}}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"NumericLessThan": {"iot:Connection.Thing.Attributes[floor]": "3"}}, True),
        ({"NumericGreaterThanEquals": {"iot:Connection.Thing.Attributes[floor]": "3"}}, False),
        ({"Null": {ORGANIZATION: "true"}}, True),
        ({"Null": {"iot:ClientId": "true"}}, False),
        ({"StringEquals": {ORGANIZATION: "Acme"}}, False),
        ({"StringEqualsIfExists": {ORGANIZATION: "Acme"}}, True),
        ({"StringNotEquals": {ORGANIZATION: "Acme"}}, True),
        ({"ForAllValues:StringEquals": {ORGANIZATION: "Acme"}}, True),
        ({"ForAnyValue:StringEquals": {ORGANIZATION: "Acme"}}, False),
        ({"ForAnyValue:StringEquals": {"words": ["b", "z"]}}, True),
        ({"ForAllValues:StringEquals": {"words": ["b", "z"]}}, False),
        ({"ForAllValues:StringEquals": {"words": ["a", "b", "z"]}}, True),
    ],
)
def test_conditions_hold_as_iam_says(condition: dict[str, Any], holds: bool) -> None:
    values = Variables(dict(attached(floor="2")) | {"words": ("a", "b")})
    decision = ask([allow("iot:Connect", "client/pump-1", Condition=condition)], "iot:Connect", "client/pump-1", values)
    assert decision.allowed == holds
    assert holds or decision.considered[0].why_not.startswith(next(iter(condition)))


def test_not_action_and_not_resource_name_all_but_themselves() -> None:
    statements = [{"Effect": "Allow", "NotAction": "iot:Publish", "NotResource": f"{PREFIX}:topic/a"}]
    assert ask(statements, "iot:Receive", "topic/b").allowed
    assert not ask(statements, "iot:Receive", "topic/a").allowed
    assert not ask(statements, "iot:Publish", "topic/b").allowed


def test_a_certificates_attributes_are_variables_as_aws_shows_them() -> None:
    """The example in AWS IoT's guide: serial number in decimal, separators escaped, directory names in small letters."""
    names = [
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "first"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "second"),
        x509.NameAttribute(NameOID.COMMON_NAME, "pump-1"),
        x509.NameAttribute(NameOID.TITLE, "a*b"),
    ]
    directory = x509.Name(
        [x509.NameAttribute(NameOID.COUNTRY_NAME, "US"), x509.NameAttribute(NameOID.COMMON_NAME, "Bulb Cert")]
    )
    alternative = x509.SubjectAlternativeName(
        [x509.DNSName("a.example"), x509.IPAddress(ipaddress.ip_address("1.2.3.4")), x509.DirectoryName(directory)]
    )
    found = of_certificate(certificate(names, alternative))
    assert found["iot:Certificate.SerialNumber"] == ("10525622389124227206",)
    assert found["iot:Certificate.Issuer.Organization"] == ("Acme\\, Inc",)
    assert found["iot:Certificate.Subject.OrganizationalUnit"] == ("first",)
    assert found["iot:Certificate.Subject.OrganizationalUnit.1"] == ("second",)
    assert found["iot:Certificate.Subject.OrganizationalUnit.List"] == ("first", "second")
    assert found["iot:Certificate.Subject.AlternativeName.DNSName"] == ("a.example",)
    assert found["iot:Certificate.Subject.AlternativeName.IPAddress"] == ("1.2.3.4",)
    assert found["iot:Certificate.Subject.AlternativeName.DirectoryName"] == ("cn=Bulb Cert,c=US",)
    assert "iot:Certificate.Subject.Title" not in found, "AWS IoT does not replace a variable by a wildcard"
    assert "iot:Certificate.Subject.CommonName" in found["iot:Certificate.AvailableKeys"]
    assert "iot:Certificate.Subject.Title" not in found["iot:Certificate.AvailableKeys"]
    assert all(variables.is_known(name) for name in found)


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        {"Version": "2012-10-17"},
        {"Version": "2020", "Statement": []},
        {"Statement": [{"Effect": "allow", "Action": "a", "Resource": "b"}]},
        {"Statement": [{"Effect": "Allow", "Resource": "b"}]},
        {"Statement": [{"Effect": "Allow", "Action": "a", "NotAction": "b", "Resource": "b"}]},
        {"Statement": [{"Effect": "Allow", "Action": "a", "Resource": []}]},
        {"Statement": [{"Effect": "Allow", "Action": "a", "Resource": "b", "Conditions": {}}]},
        {"Statement": [{"Effect": "Allow", "Action": "a", "Resource": "b", "Condition": {"StringIs": {"a": "b"}}}]},
    ],
)
def test_a_malformed_document_is_refused_by_name(document: Any) -> None:
    with pytest.raises(BadInput, match=r"policy mine[ ,]"):
        parse("mine", document)


def test_a_policys_size_does_not_count_white_space() -> None:
    assert characters({"a": ["b c", "d"]}) == len('{"a":["bc","d"]}')
