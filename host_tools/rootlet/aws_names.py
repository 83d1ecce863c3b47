"""The names and values that AWS IoT's API takes. Its model (botocore, iot 2015-05-28) has one shape for each."""

import re
from dataclasses import dataclass
from enum import Enum

from rootlet.errors import BadInput


@dataclass(frozen=True)
class _Form:
    what: str
    shape: str
    pattern: str
    longest: int
    characters: str
    shortest: int = 1


class Name(Enum):
    """What a name is of. The form is that of the shape in AWS's model."""

    THING = _Form("a thing name", "ThingName", "[a-zA-Z0-9:_-]+", 128, "letters, digits, colons, underscores and hyphens")
    TYPE = _Form("a thing type", "ThingTypeName", "[a-zA-Z0-9:_-]+", 128, "letters, digits and :_-")
    GROUP = _Form("a thing group", "ThingGroupName", "[a-zA-Z0-9:_-]+", 128, "letters, digits and :_-")
    POLICY = _Form("the name of a policy", "PolicyName", r"[\w+=,.@-]+", 128, "letters, digits and _+=,.@-")
    TEMPLATE = _Form("the name of a template", "TemplateName", "^[0-9A-Za-z_-]+$", 36, "letters, digits, _ and -")
    ATTRIBUTE = _Form("an attribute's name", "AttributeName", "[a-zA-Z0-9_.,@/:#-]+", 128, "letters, digits and _.,@/:#-")
    VALUE = _Form(
        "an attribute's value", "AttributeValue", r"[a-zA-Z0-9_.,@/:#=\[\]-]*", 800, "letters, digits and _.,@/:#=[]-", 0
    )
    CERTIFICATE = _Form("a certificate ID", "CertificateId", "(0x)?[a-fA-F0-9]+", 64, "hexadecimal digits", 64)


ATTRIBUTES = 3
"""The number of attributes that a thing without a type may have (AWS IoT Core quotas)."""


def check(kind: Name, text: str) -> str:
    """``text``, where AWS takes it as a name of this kind. Raises BadInput."""
    form = kind.value
    fits = re.fullmatch(form.pattern, text, re.ASCII) and form.shortest <= len(text) <= form.longest
    if not fits:
        count = f"{form.longest}" if form.shortest == form.longest else f"{form.shortest} to {form.longest}"
        raise BadInput(f"{text!r} is not {form.what}", hint=f"use {count} {form.characters} (AWS IoT)")
    return text
