"""Device policies, decided by ``rootlet.policies`` from what ministack has in its registry."""

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from cryptography import x509

from rootlet.errors import BadInput
from rootlet.policies.decision import decide
from rootlet.policies.document import Policy, parse
from rootlet.policies.variables import Thing, Variables, of_connection

_log = logging.getLogger("rootlet.sandbox")


def apply(iot: Any) -> None:
    iot._mqtt_policy_context = lambda *names: _variables(iot, *names)
    iot._mqtt_policy_allows = lambda *asked: _allows(iot, *asked)


def _variables(iot: Any, account: str, region: str, certificate_id: str, client_id: str) -> Variables:
    """The policy variables of a connection. A claim certificate is not in the registry."""
    with iot.request_scope(account, region):
        record = iot._certificates.get(certificate_id)
        found = iot._things.get(client_id)
    thing = None
    if record and found and found["thingArn"] in record.get("attachedThings", []):
        thing = Thing(client_id, found.get("thingTypeName"), found.get("attributes") or {})
    certificate = x509.load_pem_x509_certificate(record["certificatePem"].encode()) if record else None
    return of_connection(client_id, certificate, thing, iot._publish_source_ip.get())


def _allows(
    iot: Any,
    account: str,
    region: str,
    certificate_id: str,
    variables: Variables | Mapping[str, str],
    action: str,
    resource: str,
    template: str | None = None,
) -> bool:
    if not isinstance(variables, Variables):
        return False  # nothing is allowed before CONNECT
    if template is not None:
        policies = [parse(f"of claims for {template}", iot._provisioning_claim_policy(template))]
    else:
        with iot.request_scope(account, region):
            policies = list(_policies_of(iot, certificate_id, variables.first("iot:Connection.Thing.ThingName")))
    decision = decide(policies, action, f"arn:aws:iot:{region}:{account}:{resource}", variables)
    if not decision.allowed and action != "iot:Receive":  # a message that is not delivered is not the device's fault
        reasons = [f"{entry.title}{': ' if entry.why_not else ''}{entry.why_not}" for entry in decision.considered]
        _log.warning("%s on %s denied: %s", action, resource, "; ".join(reasons) or "no statement names the action")
    return decision.allowed


def _policies_of(iot: Any, certificate_id: str, thing: str | None) -> Iterator[Policy]:
    """The policies of a certificate, of its thing's groups, and of their parent groups."""
    names = list((iot._certificates.get(certificate_id) or {}).get("attachedPolicies", []))
    groups = list((iot._things.get(thing) or {}).get("thingGroupNames", [])) if thing else []
    for name in groups:  # grows during the iteration
        group = iot._thing_groups.get(name)
        if group is None:
            continue
        names += [entry["policyName"] for entry in iot._policies_attached_to(group["thingGroupArn"])]
        parent = (group.get("thingGroupMetadata") or {}).get("parentGroupName")
        groups += [parent] if parent and parent not in groups else []
    for name in dict.fromkeys(names):
        if (policy := iot._policies.get(name)) is not None:
            try:
                yield _parsed(name, policy["versions"][policy["defaultVersionId"]]["document"])
            except BadInput as error:
                _log.warning("%s", error.what)


@lru_cache(maxsize=1024)
def _parsed(name: str, document: str) -> Policy:
    return parse(name, document)
