"""The policy variables of a connection: client ID, thing, certificate (AWS IoT: policy variables)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.x509.oid import NameOID

ATTRIBUTES = {
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "State": NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": NameOID.COMMON_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
    "Title": NameOID.TITLE,
    "Surname": NameOID.SURNAME,
    "GivenName": NameOID.GIVEN_NAME,
    "Initials": x509.ObjectIdentifier("2.5.4.43"),
    "Pseudonym": NameOID.PSEUDONYM,
    "GenerationQualifier": NameOID.GENERATION_QUALIFIER,
}
"""The last part of the variables of subject and issuer, and the attribute that each stands for."""

ALTERNATIVE = {
    "RFC822Name": x509.RFC822Name,
    "DNSName": x509.DNSName,
    "DirectoryName": x509.DirectoryName,
    "UniformResourceIdentifier": x509.UniformResourceIdentifier,
    "IPAddress": x509.IPAddress,
}

_SHORT = {
    NameOID.COMMON_NAME: "cn",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "ou",
    NameOID.ORGANIZATION_NAME: "o",
    NameOID.LOCALITY_NAME: "l",
    NameOID.STATE_OR_PROVINCE_NAME: "st",
    NameOID.COUNTRY_NAME: "c",
}
"""AWS IoT writes a DirectoryName with small letters."""

_THING = "iot:Connection.Thing."
OTHERS = (
    "iot:ClientId",
    "aws:SourceIp",
    "iot:DomainName",
    f"{_THING}ThingName",
    f"{_THING}ThingTypeName",
    f"{_THING}IsAttached",
    "iot:Certificate.SerialNumber",
    "iot:Certificate.AvailableKeys",
)
CONNECT_ATTRIBUTES, WILL_TOPIC = "iot:ConnectAttributes", "iot:LastWillTopic"
"""The condition keys that only iot:Connect has (AWS IoT: Connect policy examples)."""

PERSISTENT, WILL = "PersistentConnect", "LastWill"
"""The values of CONNECT_ATTRIBUTES (AWS IoT: using connectAttributes)."""

THING_NAME = "${iot:Connection.Thing.ThingName}"
MAX_VALUES, MAX_CHARACTERS = 5, 1024
_WILDCARDS = frozenset("*$+?#")
_ESCAPED = str.maketrans({character: f"\\{character}" for character in ',"\\+=<>;'})


@dataclass(frozen=True)
class Thing:
    """A thing in the registry: the fields that policies can use."""

    name: str
    type: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Variables:
    """The values of a connection's variables. Names ignore case, as in IAM, except those of a thing's attributes."""

    def __init__(self, values: Mapping[str, Iterable[str]] | None = None) -> None:
        self._values = {_folded(name): (name, tuple(given)) for name, given in (values or {}).items()}

    def get(self, name: str) -> tuple[str, ...]:
        """All values of a variable; empty where it has none."""
        return self._values.get(_folded(name), (name, ()))[1]

    def first(self, name: str) -> str | None:
        """The value that replaces ``${name}``."""
        return next(iter(self.get(name)), None)

    def connecting(self, *, persistent: bool = False, will: str | None = None) -> "Variables":
        """These and those of a CONNECT: for a persistent session, and with a last will, ``will`` being its topic's ARN.

        ConnectAttributes has no value where a session has neither (AWS IoT: using connectAttributes).
        """
        used = [name for name, is_used in ((PERSISTENT, persistent), (WILL, will is not None)) if is_used]
        more = {CONNECT_ATTRIBUTES: tuple(used)} | ({WILL_TOPIC: (will,)} if will is not None else {})
        return Variables(dict(self) | more)

    def without_session(self) -> "Variables":
        """Those of a request over HTTPS, which has no client ID and no thing (AWS IoT: thing policy variables)."""
        return Variables({name: values for name, values in self if not name.startswith((_THING, "iot:ClientId"))})

    def __iter__(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        return iter(self._values.values())


def of_connection(
    client_id: str,
    certificate: x509.Certificate | None,
    thing: Thing | None = None,
    source_ip: str | None = None,
    domain_name: str | None = None,
) -> Variables:
    """The variables of a connection.

    ``thing`` is the one that the client ID names, where the connection's certificate is attached to it, or the one that
    the certificate is attached to exclusively, whatever the client ID is; else None (AWS IoT: thing policy variables;
    associating a thing to a connection). ``domain_name`` is the server name that the device asked for.
    """
    values: dict[str, tuple[str, ...]] = {
        "iot:ClientId": (client_id,),
        f"{_THING}IsAttached": ("true" if thing else "false",),
    }
    if source_ip is not None:
        values["aws:SourceIp"] = (source_ip,)
    if domain_name is not None:
        values["iot:DomainName"] = (domain_name,)
    if thing is not None:
        values[f"{_THING}ThingName"] = (thing.name,)
        if thing.type:
            values[f"{_THING}ThingTypeName"] = (thing.type,)
        values |= {f"{_THING}Attributes[{name}]": (value,) for name, value in thing.attributes.items()}
    if certificate is not None:
        values |= of_certificate(certificate)
    return Variables(values)


def of_certificate(certificate: x509.Certificate) -> dict[str, tuple[str, ...]]:
    """The variables of a certificate, by name (AWS IoT: X.509 certificate policy variables).

    Values with a wildcard character, values longer than 1024 characters, and all values after the fifth are left out.
    Characters that a distinguished name escapes (RFC 4514) follow a backslash, as AWS IoT documents.
    """
    found: dict[str, list[str]] = {"iot:Certificate.SerialNumber": [str(certificate.serial_number)]}
    for owner, name in (("Issuer", certificate.issuer), ("Subject", certificate.subject)):
        for suffix, oid in ATTRIBUTES.items():
            found[f"iot:Certificate.{owner}.{suffix}"] = [
                escaped(str(attribute.value)) for attribute in name.get_attributes_for_oid(oid)
            ]
        for suffix, values in _alternative(certificate, owner).items():
            found[f"iot:Certificate.{owner}.AlternativeName.{suffix}"] = values
    result: dict[str, tuple[str, ...]] = {}
    for name_, values in found.items():
        usable = [value for value in values[:MAX_VALUES] if can_replace(value)]
        if usable:
            result[name_] = (usable[0],)
            result |= {f"{name_}.{index}": (value,) for index, value in enumerate(usable)}
            result[f"{name_}.List"] = tuple(usable)
    result["iot:Certificate.AvailableKeys"] = tuple(name_ for name_ in found if name_ in result)
    return result


def escaped(value: str) -> str:
    """An attribute's value, as AWS IoT inserts it into a policy."""
    return value.translate(_ESCAPED)


def can_replace(value: str) -> bool:
    """Whether AWS IoT replaces a certificate's variable by this value. Where not, the variable's text stays."""
    return len(value) <= MAX_CHARACTERS and not _WILDCARDS & set(value)


def is_known(name: str) -> bool:
    """Whether AWS IoT documents a variable of this name."""
    return _folded(name) in _KNOWN or _base(name) in _KNOWN or _folded(name).startswith(f"{_THING.lower()}attributes[")


def _alternative(certificate: x509.Certificate, owner: str) -> dict[str, list[str]]:
    names: x509.IssuerAlternativeName | x509.SubjectAlternativeName
    try:
        if owner == "Issuer":
            names = certificate.extensions.get_extension_for_class(x509.IssuerAlternativeName).value
        else:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # ValueError: an extension that does not parse
        return {}
    return {
        suffix: [_text(entry.value) for entry in names if isinstance(entry, kind)] for suffix, kind in ALTERNATIVE.items()
    }


def _text(value: object) -> str:
    if not isinstance(value, x509.Name):
        return str(value)
    return value.rfc4514_string(_SHORT)


def _folded(name: str) -> str:
    before, bracket, attribute = name.partition("[")
    return before.lower() + bracket + attribute


def _base(name: str) -> str:
    """The name without its index or ``.List``, which select other values than the first."""
    before, _, last = _folded(name).rpartition(".")
    return before if last == "list" or last.isdigit() else ""


_KNOWN = {
    name.lower()
    for name in (
        *OTHERS,
        CONNECT_ATTRIBUTES,
        WILL_TOPIC,
        *(f"iot:Certificate.{owner}.{suffix}" for owner in ("Issuer", "Subject") for suffix in ATTRIBUTES),
        *(f"iot:Certificate.{owner}.AlternativeName.{suffix}" for owner in ("Issuer", "Subject") for suffix in ALTERNATIVE),
    )
}
