"""Names and values that AWS IoT does not take are refused here, and by the sandbox, in one way."""

import base64
import gzip
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mypy_boto3_iot import IoTClient
from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.cli.cloud.group import command as cloud
from rootlet.cloud import jitr, jitr_rules
from rootlet.errors import BadInput
from rootlet.pki import certificates, keys, names
from rootlet.pki.authority import Authority
from rootlet.pki.identity import DeviceIdentity
from rootlet.pki.subject import Subject


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cloud, [str(argument) for argument in arguments])


def refusal(*arguments: object) -> str:
    error = run(*arguments).exception
    assert isinstance(error, BadInput), error
    return error.what


@pytest.mark.parametrize("kind", Name)
def test_each_form_is_that_of_awss_model(kind: Name) -> None:
    model = resources.files("botocore").joinpath("data/iot/2015-05-28/service-2.json.gz").read_bytes()
    shape = json.loads(gzip.decompress(model))["shapes"][kind.value.shape]
    assert (kind.value.pattern, kind.value.longest) == (shape["pattern"], shape["max"])
    assert kind.value.shortest == shape.get("min", 1 if kind is Name.ATTRIBUTE else 0)


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("customer=Example Fleet", "'Example Fleet' is not an attribute's value"),
        ("customer=Müller", "'Müller' is not an attribute's value"),
        ("customer=a\nb", r"'a\nb' is not an attribute's value"),
        (f"customer={'x' * 801}", "is not an attribute's value"),
        ("the customer=x", "'the customer' is not an attribute's name"),
    ],
)
def test_an_attribute_that_aws_does_not_take_is_refused(
    aws: IoTClient, authority: Authority, tmp_path: Path, attribute: str, words: str
) -> None:
    authority.issue("odd-attribute").save(tmp_path / "d")
    assert words in refusal("register", tmp_path / "d", "--attribute", attribute)
    assert words in refusal("jitp", "template", "--policy", "p", "--attribute", attribute)
    name, _, value = attribute.partition("=")
    with pytest.raises(ClientError, match="1 validation error detected"):
        aws.create_thing(thingName="odd-attribute", attributePayload={"attributes": {name: value}})
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.describe_thing(thingName="odd-attribute")


def test_the_longest_value_and_every_character_that_aws_names_are_taken(aws: IoTClient) -> None:
    for value in ("x" * 800, "aZ09_.,@/:#=[]-"):
        aws_names.check(Name.VALUE, value)
        aws.create_thing(thingName=f"odd-{len(value)}", attributePayload={"attributes": {"customer": value}})


def test_a_thing_without_a_type_has_three_attributes_at_most(aws: IoTClient, authority: Authority, tmp_path: Path) -> None:
    authority.issue("four").save(tmp_path / "d")
    options = [word for name in "abcd" for word in ("--attribute", f"{name}=1")]
    assert "would have 4 attributes" in refusal("register", tmp_path / "d", *options)
    assert "gives a thing 4 attributes" in refusal("jitp", "template", "--policy", "p", *options)
    assert run("register", tmp_path / "d", *options[:6]).exit_code == 0
    assert "would have 4 attributes" in refusal("register", tmp_path / "d", *options[6:])
    assert run("register", tmp_path / "d", *options[6:], "--thing-type", "roomy").exit_code == 0


BROKEN = "sensor-1\nsensor-2"
"""A thing name with a line break, at the end of which many an expression stops looking."""


def foreign(authority: Authority, name: str) -> DeviceIdentity:
    """An identity that Rootlet would not issue, from a CA that does not look at names."""
    key = keys.generate()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = certificates.device(subject, key.public_key(), authority.issuer, days=30)
    return DeviceIdentity(name, certificate, key, authority.chain)


@pytest.mark.parametrize("name", [BROKEN, "sensor-1\n", "sensor\x1b[2J", "sensor 1"])
def test_a_certificate_with_an_odd_common_name_is_registered_nowhere(
    aws: IoTClient, authority: Authority, tmp_path: Path, name: str
) -> None:
    identity = foreign(authority, name)
    identity.save(tmp_path / "devices" / "d")
    (tmp_path / "bundle.pem").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    der = base64.b64encode(identity.certificate_der()).decode()
    (tmp_path / "modules.csv").write_text(f'certificate,thing\n{der},"x{name}x"\n')
    assert "is not a thing name" in refusal("register", tmp_path / "devices" / "d")
    assert f"bundle.pem, certificate 1: {name!r} is not a thing name" in refusal("import-manifest", tmp_path / "bundle.pem")
    assert "row 2: 'x" in refusal("import-manifest", tmp_path / "modules.csv")
    result = run("register-all", tmp_path / "devices", "--json")
    assert "is not a thing name" in json.loads(result.stdout)["failed"][0]["problem"]
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.describe_certificate(certificateId=identity.certificate_id)
    assert jitr_rules.decide({"allow": None, "issuers": ["ca"]}, name, "c", "ca")[0] is False
    with pytest.raises(ClientError, match="at 'thingName' failed"):
        aws.create_thing(thingName=name)


def test_names_with_a_line_break_are_refused_by_every_command_that_takes_one(
    aws: IoTClient, authority: Authority, tmp_path: Path
) -> None:
    authority.issue("line-1").save(tmp_path / "d")
    for option in ("--policy", "--thing-type", "--group", "--stream", "--application"):
        assert r"'a\nb'" in refusal("register", tmp_path / "d", option, "a\nb")
    assert r"'a\nb' is not a thing name" in refusal("command", "a\nb", "blink")
    assert r"'a\n' is not the name of a policy" in refusal("jitp", "template", "--policy", "a\n")
    assert r"'a\n' is not the name of a template" in refusal(
        "claim", "template", "--policy", "p", "--template-name", "a\n", "--claim-policy", tmp_path / "p.json"
    )
    assert r"'a\nb' is not a stream's name" in refusal("policy", "render", "--stream", "a\nb")
    assert r"the organization 'a\nb' cannot stand" in refusal(
        "policy", "render", "--customer", "a\nb=x", "--arn-prefix", "x"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"sensor-1\nsensor 2\n", "line 2: 'sensor 2' is not a thing name"), (b"\xff\xfe", "is not text")],
)
def test_a_line_of_an_allow_list_that_can_match_nothing_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "allow").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        jitr.rules(tmp_path / "allow", [])


def test_a_quoted_cell_over_two_lines_does_not_become_another_name(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text('thing,serial\n"sensor\n-1",SN1\n')
    with pytest.raises(BadInput, match=r"'sensor\\n-1' is not a thing name"):
        names.from_file(tmp_path / "names.csv")


def test_a_subject_with_a_line_break_is_refused(tmp_path: Path) -> None:
    for part in ("organization", "organizational_unit", "state"):
        with pytest.raises(BadInput, match="cannot be printed"):
            Subject(**{part: "Example\nFleet"})
    with pytest.raises(BadInput, match="the common name"):
        Authority.create(tmp_path / "ca", b"correct horse battery staple", name="Fleet\nCA")
    assert not (tmp_path / "ca").exists()
