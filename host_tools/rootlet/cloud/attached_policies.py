"""A device's connection as AWS IoT has it: its certificate, its thing, and the policies attached to both."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from rootlet.cloud.client import aws_errors
from rootlet.pki.identity import certificate_id, common_name
from rootlet.policies import document
from rootlet.policies.document import Policy
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
        known = Registry(iot)
        return known.connection(known.certificate(wanted), client_id)
    raise AssertionError  # aws_errors() never swallows


def read_policy(iot: "IoTClient", name: str) -> str:
    """The document of a policy in AWS IoT. Raises RootletError."""
    with aws_errors():
        return iot.get_policy(policyName=name)["policyDocument"]
    raise AssertionError  # aws_errors() never swallows


@dataclass(frozen=True)
class RegisteredCertificate:
    """A certificate in AWS IoT. ``things`` says how each is attached: EXCLUSIVE_THING or NON_EXCLUSIVE_THING."""

    arn: str
    status: str
    parsed: x509.Certificate
    things: Mapping[str, str]


class Registry:
    """What AWS IoT has about devices. Policies and groups, which many devices share, are asked for once."""

    def __init__(self, iot: "IoTClient") -> None:
        self._iot = iot
        self._policies: dict[str, Policy] = {}
        self._groups: dict[str, tuple[str, str | None]] = {}
        self._of_groups: dict[str, list[str]] = {}

    def certificate(self, identifier: str) -> RegisteredCertificate:
        """The certificate with this ID. Raises ClientError, as all methods do."""
        found = self._iot.describe_certificate(certificateId=identifier)["certificateDescription"]
        arn = found["certificateArn"]
        parsed = x509.load_pem_x509_certificate(found["certificatePem"].encode())
        return RegisteredCertificate(arn, found["status"], parsed, self._things(arn))

    def connection(self, certificate: RegisteredCertificate, client_id: str | None = None) -> SimulatedConnection:
        """Its connection under ``client_id``: by default the name of its thing, else its common name."""
        attached = certificate.things
        client_id = client_id or next(iter(attached), None) or common_name(certificate.parsed)
        exclusive = next((name for name, kind in attached.items() if kind == "EXCLUSIVE_THING"), None)
        name = exclusive or (client_id if client_id in attached else None)
        names, thing = list(self._attached(certificate.arn)), None
        if name is not None:
            about = self._iot.describe_thing(thingName=name)
            thing = Thing(name, about.get("thingTypeName"), about.get("attributes") or {})
            for group in self._group_arns(name):
                if group not in self._of_groups:
                    self._of_groups[group] = list(self._attached(group))
                names += self._of_groups[group]
        policies = tuple(map(self._policy, dict.fromkeys(names)))
        prefix = certificate.arn.rpartition(":")[0]
        return SimulatedConnection(
            certificate.parsed, client_id, thing, policies, prefix, certificate.status, exclusive=exclusive is not None
        )

    def _policy(self, name: str) -> Policy:
        if name not in self._policies:
            self._policies[name] = document.parse(name, self._iot.get_policy(policyName=name)["policyDocument"])
        return self._policies[name]

    def _things(self, principal: str) -> dict[str, str]:
        pages = self._iot.get_paginator("list_principal_things_v2").paginate(principal=principal)
        found = (entry for page in pages for entry in page["principalThingObjects"])
        return {entry["thingName"]: entry.get("thingPrincipalType", "NON_EXCLUSIVE_THING") for entry in found}

    def _attached(self, target: str) -> Iterator[str]:
        for page in self._iot.get_paginator("list_attached_policies").paginate(target=target):
            for entry in page["policies"]:
                yield entry.get("policyName", "")

    def _group_arns(self, thing: str) -> Iterator[str]:
        """The ARNs of a thing's groups, and of their parent groups."""
        pages = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
        names = [group.get("groupName", "") for page in pages for group in page["thingGroups"]]
        for name in names:  # grows during the iteration
            if name not in self._groups:
                group = self._iot.describe_thing_group(thingGroupName=name)
                self._groups[name] = group["thingGroupArn"], group.get("thingGroupMetadata", {}).get("parentGroupName")
            arn, parent = self._groups[name]
            yield arn
            names += [parent] if parent and parent not in names else []
