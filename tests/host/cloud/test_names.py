"""Names and values that AWS IoT does not take are refused here, and by the sandbox, in one way."""

import gzip
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner
from mypy_boto3_iot import IoTClient
from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.cli.cloud.group import command as cloud
from rootlet.errors import BadInput
from rootlet.pki.authority import Authority


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
