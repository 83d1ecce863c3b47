"""Device policies, decided by ``rootlet.policies`` from what ministack has in its registry."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from cryptography import x509

from rootlet.errors import BadInput
from rootlet.policies.decision import decide
from rootlet.policies.document import Policy, parse
from rootlet.policies.variables import Thing, Variables, of_connection
from rootlet.sandbox.ministack_patch import attachments

server_name: ContextVar[str | None] = ContextVar("server_name", default=None)
"""The server name that the client of this connection asked for."""

_log = logging.getLogger("rootlet.sandbox")


def apply(iot: Any) -> None:
    iot._mqtt_policy_context = lambda *names: variables(iot, *names)
    iot._mqtt_policy_allows = lambda *asked: _allows(iot, *asked)


def variables(iot: Any, account: str, region: str, certificate_id: str, client_id: str) -> Variables:
    """The policy variables of a connection. A claim certificate is not in the registry."""
    with iot.request_scope(account, region):
        record = iot._certificates.get(certificate_id)
        exclusive = attachments.exclusive_thing(record or {})
        name = exclusive.rpartition("/")[2] if exclusive else client_id
        found = iot._things.get(name)
    thing = None
    if record and found and found["thingArn"] in record.get("attachedThings", []):
        thing = Thing(name, found.get("thingTypeName"), found.get("attributes") or {})
    certificate = x509.load_pem_x509_certificate(record["certificatePem"].encode()) if record else None
    return of_connection(client_id, certificate, thing, iot._publish_source_ip.get(), server_name.get())


def connecting(session: Any) -> Variables | Any:
    """The variables of a session's CONNECT, which has some of its own. What is no certificate's has none."""
    if not isinstance(session._policy_context, Variables):
        return session._policy_context
    will = session._will_topic
    # MQTT 5 has two flags for what 3.1.1 calls a persistent session: resuming one, and leaving one behind.
    return session._policy_context.connecting(
        persistent=session._persist_session or session._resume_session,
        will=None if will is None else f"arn:aws:iot:{session.region}:{session.account_id}:topic/{will}",
    )


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
            policies = list(policies_of(iot, certificate_id, variables.first("iot:Connection.Thing.ThingName")))
    decision = decide(policies, action, f"arn:aws:iot:{region}:{account}:{resource}", variables)
    if not decision.allowed and action != "iot:Receive":  # a message that is not delivered is not the device's fault
        reasons = [f"{entry.title}{': ' if entry.why_not else ''}{entry.why_not}" for entry in decision.considered]
        _log.warning("%s on %s denied: %s", action, resource, "; ".join(reasons) or "no statement names the action")
    return decision.allowed


def policies_of(iot: Any, certificate_id: str, thing: str | None) -> Iterator[Policy]:
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
    yield from policies_named(iot, names)


def policies_named(iot: Any, names: Iterable[str]) -> Iterator[Policy]:
    """The policies of these names, each once. What cannot be parsed is logged, and allows nothing."""
    for name in dict.fromkeys(names):
        if (policy := iot._policies.get(name)) is not None:
            try:
                yield _parsed(name, policy["versions"][policy["defaultVersionId"]]["document"])
            except BadInput as error:
                _log.warning("%s", error.what)


@lru_cache(maxsize=1024)
def _parsed(name: str, document: str) -> Policy:
    return parse(name, document)
