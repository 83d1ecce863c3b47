"""The subject of a device's certificate: the thing name, and the parts that a batch shares."""

import re
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.errors import BadInput

COMMON_NAME_LIMIT = 64  # characters, RFC 5280 upper bound ub-common-name

_LIMITS = {"organization": 64, "organizational_unit": 64, "state": 128, "dn_qualifier": 64, "serial_number": 64}
"""Characters, by RFC 5280 appendix A.1. dn_qualifier has no bound there, and gets that of the others."""

_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,./:=?-]+")  # PrintableString, X.680 §41.4


@dataclass(frozen=True)
class Subject:
    """The parts of a subject's name besides the common name.

    AWS IoT policies and provisioning templates can tell customers apart by them.
    """

    organization: str | None = None
    organizational_unit: str | None = None
    country: str | None = None
    state: str | None = None
    dn_qualifier: str | None = None
    serial_number: str | None = None

    def __post_init__(self) -> None:
        for attribute in fields(self):
            value = getattr(self, attribute.name)
            if value is not None and not value.strip():
                raise BadInput(f"the subject's {_words(attribute.name)} is empty", hint="give it a value, or leave it out")
            if value is not None:
                check_printable(f"the subject's {_words(attribute.name)}", value)
            if value is not None and len(value) > _LIMITS.get(attribute.name, 2):
                raise BadInput(
                    f"the subject's {_words(attribute.name)} is {len(value)} characters long",
                    hint=f"use {_LIMITS.get(attribute.name, 2)} or fewer (RFC 5280)",
                )
        if self.country is not None and not re.fullmatch("[A-Z]{2}", self.country):
            raise BadInput(
                f"{self.country!r} is not a country code", hint="use the two capital letters of ISO 3166, as in CH"
            )
        for name in ("serial_number", "dn_qualifier"):
            value = getattr(self, name)
            # RFC 5280 appendix A.1: serialNumber and dnQualifier are PrintableString.
            if value is not None and not _PRINTABLE.fullmatch(value):
                raise BadInput(
                    f"the subject's {_words(name)} {value!r} has characters that X.509 does not allow",
                    hint="use letters, digits, space and '()+,-./:=? (X.509 PrintableString)",
                )

    def name(self, common: str) -> x509.Name:
        """The distinguished name with ``common`` as its common name. Raises BadInput where X.509 forbids it."""
        check_printable("the common name", common)
        try:
            return x509.Name([*self._shared, x509.NameAttribute(NameOID.COMMON_NAME, common)])
        except ValueError as error:
            raise BadInput(f"the subject's name is not valid: {error}", hint="shorten or correct the name") from None

    @cached_property
    def _shared(self) -> list[x509.NameAttribute[str]]:
        parts = (
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.STATE_OR_PROVINCE_NAME, self.state),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.organizational_unit),
            (NameOID.DN_QUALIFIER, self.dn_qualifier),
            (NameOID.SERIAL_NUMBER, self.serial_number),
        )
        return [x509.NameAttribute(oid, value) for oid, value in parts if value is not None]

    def given(self) -> dict[str, Any]:
        """The parts that are set, by name."""
        return {part.name: getattr(self, part.name) for part in fields(self) if getattr(self, part.name) is not None}


def check_printable(what: str, text: str) -> None:
    """Raise BadInput where ``text``, which is ``what``, has a line break or another character that nobody sees."""
    if not text.isprintable():
        raise BadInput(
            f"{what} {text!r} has characters that cannot be printed", hint="write it on one line, without control characters"
        )


def show_name(name: x509.Name) -> str:
    """A distinguished name as text (RFC 4514), with attribute names where the library would show numbers."""
    return name.rfc4514_string({NameOID.SERIAL_NUMBER: "serialNumber", NameOID.DN_QUALIFIER: "dnQualifier"})


def check_thing_name(name: str) -> str:
    """``name``, where AWS IoT allows it as a thing name and X.509 as a common name. Raises BadInput."""
    aws_names.check(Name.THING, name)
    if len(name) > COMMON_NAME_LIMIT:
        raise BadInput(
            f"the thing name is {len(name)} characters long",
            hint=f"use {COMMON_NAME_LIMIT} or fewer: it becomes the certificate's common name (RFC 5280)",
        )
    return name


def choose_thing_name(given: str | None, named: str) -> str:
    """The thing name that the user gave, else the one that a certificate names. Raises BadInput where neither is one."""
    try:
        return check_thing_name(given or named)
    except BadInput as error:
        if given:
            raise
        raise BadInput(f"the certificate names no thing: {error.what}", hint="name it: --thing NAME") from None


def _words(name: str) -> str:
    return name.replace("_", " ")
