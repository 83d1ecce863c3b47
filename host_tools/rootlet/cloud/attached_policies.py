"""A device's connection as AWS IoT has it: its certificate, its thing, and the policies attached to both."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from rootlet.cloud.client import aws_errors
from rootlet.pki.identity import certificate_id, common_name
from rootlet.policies import document
from rootlet.policies.simulation import SimulatedConnection, read_certificate
from rootlet.policies.variables import Thing

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

_ID = re.compile(r"[0-9a-f]{64}")


def from_aws(iot: "IoTClient", certificate: str, *, client_id: str | None = None) -> SimulatedConnection:
    """The connection of a certificate, given by its ID or its path.

    ``client_id`` is the name of the certificate's thing unless given. Raises RootletError.
    """
    wanted = certificate if _ID.fullmatch(certificate) else certificate_id(read_certificate(Path(certificate)))
    with aws_errors():
        found = iot.describe_certificate(certificateId=wanted)["certificateDescription"]
        arn = found["certificateArn"]
        leaf = x509.load_pem_x509_certificate(found["certificatePem"].encode())
        attached = _things(iot, arn)
        client_id = client_id or next(iter(attached), common_name(leaf))
        exclusive = next((name for name, kind in attached.items() if kind == "EXCLUSIVE_THING"), None)
        name = exclusive or (client_id if client_id in attached else None)
        targets, thing = [arn], None
        if name is not None:
            about = iot.describe_thing(thingName=name)
            thing = Thing(name, about.get("thingTypeName"), about.get("attributes") or {})
            targets += _groups(iot, name)
        names = dict.fromkeys(name for target in targets for name in _attached(iot, target))
        parsed = [document.parse(name, iot.get_policy(policyName=name)["policyDocument"]) for name in names]
    return SimulatedConnection(leaf, client_id, thing, tuple(parsed), arn.rpartition(":")[0], found["status"])


def read_policy(iot: "IoTClient", name: str) -> str:
    """The document of a policy in AWS IoT. Raises RootletError."""
    with aws_errors():
        return iot.get_policy(policyName=name)["policyDocument"]
    raise AssertionError  # aws_errors() never swallows


def _things(iot: "IoTClient", principal: str) -> dict[str, str]:
    """The things that a certificate is attached to, and how: EXCLUSIVE_THING or NON_EXCLUSIVE_THING."""
    pages = iot.get_paginator("list_principal_things_v2").paginate(principal=principal)
    found = (entry for page in pages for entry in page["principalThingObjects"])
    return {entry["thingName"]: entry.get("thingPrincipalType", "NON_EXCLUSIVE_THING") for entry in found}


def _attached(iot: "IoTClient", target: str) -> Iterator[str]:
    for page in iot.get_paginator("list_attached_policies").paginate(target=target):
        for entry in page["policies"]:
            yield entry.get("policyName", "")


def _groups(iot: "IoTClient", thing: str) -> Iterator[str]:
    """The ARNs of a thing's groups, and of their parent groups."""
    pages = iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
    names = [group.get("groupName", "") for page in pages for group in page["thingGroups"]]
    for name in names:  # grows during the iteration
        group = iot.describe_thing_group(thingGroupName=name)
        yield group["thingGroupArn"]
        parent = group.get("thingGroupMetadata", {}).get("parentGroupName")
        names += [parent] if parent and parent not in names else []
