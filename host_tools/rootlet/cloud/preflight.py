"""What a registration can be known to fail by, looked up before anything is created."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from rootlet import aws_names
from rootlet.aws_names import Name
from rootlet.errors import BadInput, RootletError
from rootlet.policies import rendering

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

    from rootlet.cloud.registration import RegistrationRequest, ThingProperties


@dataclass(frozen=True)
class Missing:
    """What the account lacks of a request, and a registration creates. ``outdated`` policies get a new version."""

    policies: tuple[str, ...]
    outdated: tuple[str, ...]
    thing_type: str | None
    groups: tuple[str, ...]


def look_up(iot: "IoTClient", wanted: "RegistrationRequest") -> Missing:
    """What has to be created for ``wanted``, whatever the device. Nothing is changed.

    Raises BadInput where a policy, thing type or thing group that has to be there is not, or is of no use, and for names
    and attributes that AWS does not take.
    """
    _check_names(wanted)
    if wanted.policy is not None:
        check_policies(iot, [wanted.policy])
    absent_ones, outdated = _missing_policies(iot, wanted)
    return Missing(
        absent_ones,
        outdated,
        _missing_type(iot, wanted.thing.type),
        tuple(_missing_groups(iot, wanted.thing.groups)),
    )


def check_policies(iot: "IoTClient", names: Iterable[str]) -> None:
    """Raise BadInput for the first of ``names`` that is not a policy of the account."""
    for name in names:
        aws_names.check(Name.POLICY, name)
        try:
            iot.get_policy(policyName=name)
        except iot.exceptions.ResourceNotFoundException:
            raise BadInput(
                f"the account has no policy {name}",
                hint="check its name: aws iot list-policies; or create it: rootlet cloud policy render, "
                "aws iot create-policy",
            ) from None


def check_authorities(iot: "IoTClient", identifiers: Iterable[str]) -> None:
    """Raise BadInput for the first of these IDs that is not a registered CA's."""
    for identifier in identifiers:
        aws_names.check(Name.CERTIFICATE, identifier)
        try:
            iot.describe_ca_certificate(certificateId=identifier)
        except iot.exceptions.ResourceNotFoundException:
            raise BadInput(
                f"the account has no CA {identifier}",
                hint="give the ID that register-ca printed: aws iot list-ca-certificates",
            ) from None


def check_registry(iot: "IoTClient", types: Iterable[str], groups: Iterable[str]) -> None:
    """Raise BadInput for the first thing type or thing group that the account lacks, or that takes no thing."""
    for name in types:
        if _missing_type(iot, name):
            raise BadInput(f"the account has no thing type {name}", hint="create it: aws iot create-thing-type")
    for name in _missing_groups(iot, groups):
        raise BadInput(f"the account has no thing group {name}", hint="create it: aws iot create-thing-group")


def documents(arn_prefix: str, wanted: "RegistrationRequest") -> Mapping[str, dict[str, Any]]:
    """The policies that ``wanted`` makes, by name. Raises BadInput where one cannot be rendered."""
    made = {rendering.service_policy(service): rendering.render_service(arn_prefix, service) for service in wanted.services}
    if wanted.policy is None:
        document = rendering.render(arn_prefix, wanted.application, wanted.streams, wanted.topics)
        made[f"rootlet-{wanted.application}"] = document
    return made


def described_thing(iot: "IoTClient", name: str, wanted: "ThingProperties") -> Any:
    """AWS's description of the thing, or None.

    Raises BadInput for a name that AWS does not take, RootletError where the thing cannot become what is ``wanted``.
    """
    aws_names.check(Name.THING, name)
    described: Any = None
    with absent():
        described = iot.describe_thing(thingName=name)
    has = described and described.get("thingTypeName")
    attributes = {*wanted.attributes, *(described or {}).get("attributes", {})}
    if len(attributes) > aws_names.ATTRIBUTES and not (has or wanted.type):
        raise BadInput(
            f"thing {name} would have {len(attributes)} attributes, and {aws_names.ATTRIBUTES} are allowed without a type",
            hint="give it a --thing-type, or fewer attributes",
        )
    if wanted.type and has not in (None, wanted.type):
        raise RootletError(
            f"thing {name} is of type {has}, not {wanted.type}",
            hint="leave out --thing-type, or change the type in AWS first",
        )
    return described


def _check_names(wanted: "RegistrationRequest") -> None:
    thing = wanted.thing
    given = [(Name.POLICY, wanted.policy), (Name.TYPE, thing.type), *((Name.GROUP, group) for group in thing.groups)]
    for kind, name in given:
        if name is not None:
            aws_names.check(kind, name)
    check_attributes(thing.attributes)


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Raise BadInput for names and values of a thing's attributes that AWS does not take."""
    for name, value in attributes.items():
        aws_names.check(Name.ATTRIBUTE, name)
        aws_names.check(Name.VALUE, value)


def _missing_policies(iot: "IoTClient", wanted: "RegistrationRequest") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The policies to create, and those that need a new version. Raises BadInput where that is not ``wanted``."""
    missing, outdated = [], []
    # Every account's ID has 12 digits: a policy that is too long is found here, before there is an ARN of this account's.
    some_account = f"arn:{iot.meta.partition}:iot:{iot.meta.region_name}:{0:012}"
    for name in documents(some_account, wanted):
        found: Any = None
        with absent():
            found = iot.get_policy(policyName=name)
        if found is None:
            missing.append(name)
        elif rendering.same(found["policyDocument"], documents(found["policyArn"].rpartition(":")[0], wanted)[name]):
            continue
        elif wanted.update_policy:
            outdated.append(name)
        else:
            raise BadInput(
                f"policy {name} exists and allows something else",
                hint="if what its devices do has changed: --update-policy, which gives it a new version for all of them; "
                "otherwise name the same streams and topics, choose another --application, or attach it with --policy",
            )
    return tuple(missing), tuple(outdated)


def _missing_type(iot: "IoTClient", name: str | None) -> str | None:
    """``name`` where it has to be created. A deprecated type takes no new thing (AWS IoT: DeprecateThingType)."""
    if name is None:
        return None
    with absent():
        if iot.describe_thing_type(thingTypeName=name).get("thingTypeMetadata", {}).get("deprecated"):
            raise BadInput(f"the thing type {name} is deprecated", hint="use another --thing-type, or undo that in AWS")
        return None
    return name


def _missing_groups(iot: "IoTClient", names: Iterable[str]) -> Iterator[str]:
    """Those to create. Nothing can be added to a dynamic group: its query says what is in it (AWS IoT: dynamic groups)."""
    for name in dict.fromkeys(names):
        found: Any = None
        with absent():
            found = iot.describe_thing_group(thingGroupName=name)
        if found is None:
            yield name
        elif found.get("queryString"):
            raise BadInput(f"the thing group {name} is dynamic", hint="name a static group: a query fills this one")


@contextlib.contextmanager
def absent():  # type: ignore[no-untyped-def]  # a generator that may swallow; mypy would need the return after it
    """Passes over AWS's answer that a thing of the name is not there."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
            raise
