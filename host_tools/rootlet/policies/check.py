"""Findings about a device's policy: what is too permissive, and what cannot work.

Device Advisor's case Security Device Policies and Device Defender's audit "IoT policy overly permissive" report wildcards.
The other findings are mistakes that AWS accepts, and that first appear on a device in the field.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rootlet.policies import actions, document, patterns, variables
from rootlet.policies.document import Policy, Statement

_OWN = ("iot:connection.thing.thingname", "iot:clientid", "iot:certificate.subject.", "iot:certificate.serialnumber")
_ARN = re.compile(r"arn:[\w-]+:iot:(?P<region>[^:]*):(?P<account>[^:]*):(?P<type>[^/]*)/(?P<name>.*)", re.DOTALL)

_JOB = re.compile(re.escape(f"$aws/things/{variables.THING_NAME}/jobs/") + r"[*+](/[a-z]+)+")
"""Topics of the thing's own jobs, whose ids are not known beforehand."""

_PROVISIONING = re.compile(
    r"\$aws/(certificates/create(-from-csr)?|provisioning-templates/[0-9A-Za-z_-]+/provision)"
    r"/(\*|(json|cbor)(/\*|/accepted|/rejected)?)"
)
"""Topics of fleet provisioning (AWS IoT: device provisioning MQTT API), of one template."""

_CLAIM = "a device with this claim connects as any client, also as one that is connected: it has no name of its own yet"


@dataclass(frozen=True)
class PolicyFinding:
    """``level``: an error allows a device too much, or never works; a warning deserves a look."""

    level: Literal["error", "warning"]
    statement: str
    what: str
    hint: str
    wildcard: bool = False
    """Whether Device Advisor and Device Defender report it, too."""


def is_own(pattern: str) -> bool:
    """Whether a variable in it stands for the device itself."""
    return any(variable.lower().startswith(_OWN) for variable in patterns.names(pattern))


def check(name: str, given: str | Mapping[str, Any]) -> list[PolicyFinding]:
    """The findings about a policy; empty where it has no fault. Raises BadInput where it is malformed."""
    policy = document.parse(name, given)
    found = [finding for statement in policy.statements for finding in _statement(statement, is_claim([policy]))]
    if policy.version == document.OLD:
        found += [finding for statement in policy.statements for finding in _plain_text(statement)]
    if not policy.statements:
        found.append(PolicyFinding("error", "the document", "it has no statement, and allows nothing", "add a statement"))
    size = document.characters(given if isinstance(given, Mapping) else document.load(name, given))
    if size > document.MAX_CHARACTERS:
        what = f"{size} characters without white space; AWS IoT accepts {document.MAX_CHARACTERS}"
        found.append(PolicyFinding("error", "the document", what, "use policy variables instead of names, or split it"))
    return found


def is_claim(policies: Iterable[Policy]) -> bool:
    """Whether the policies allow nothing but connecting, and asking for an identity: those of a claim certificate."""
    allowed = [statement for policy in policies for statement in policy.statements if statement.effect == "Allow"]
    others = [statement for statement in allowed if [name.lower() for name in statement.actions] != ["iot:connect"]]
    return bool(others) and all(
        not statement.not_actions
        and not statement.not_resources
        and all(is_provisioning(resource.partition("/")[2]) for resource in statement.resources)
        for statement in others
    )


def is_provisioning(topic: str) -> bool:
    """Whether the topics of fleet provisioning match: each device gets the answers to its own requests only."""
    return _PROVISIONING.fullmatch(topic) is not None


def job_wildcards(name: str, given: str | Mapping[str, Any]) -> list[str]:
    """The allowed resources whose ``*`` stands for the ids of the thing's own jobs, which ``check`` does not report.

    Raises BadInput where the policy is malformed.
    """
    return [
        resource
        for statement in document.parse(name, given).statements
        if statement.effect == "Allow"
        for resource in map(patterns.shown, statement.resources)
        if (parts := _ARN.fullmatch(resource)) and _JOB.fullmatch(parts["name"]) and "*" in parts["name"]
    ]


def _statement(statement: Statement, claim: bool) -> Iterator[PolicyFinding]:
    yield from _unknown_variables(statement)
    yield from _connect_keys(statement)
    yield from _unknown_actions(statement)
    if statement.effect == "Deny":
        return  # a Deny that is too wide allows nothing
    for what, inverted in (("NotAction", statement.not_actions), ("NotResource", statement.not_resources)):
        if inverted:
            found = f"it allows everything but what {what} names"
            yield PolicyFinding("error", statement.title, found, f"name what is allowed, not {what}", wildcard=True)
    if not statement.not_actions:
        yield from _actions(statement)
    if not statement.not_resources:
        for resource in map(patterns.shown, statement.resources):
            if claim and _ARN.fullmatch(resource) and resource.endswith(":client/*"):
                yield PolicyFinding(
                    "warning", statement.title, _CLAIM, "let a device drop its claim for its own certificate", wildcard=True
                )
            else:
                yield from _resource(statement, resource)


def _unknown_actions(statement: Statement) -> Iterator[PolicyFinding]:
    for action in statement.actions:
        if _is_pattern(action) or action.lower() in actions.ACTIONS or action.lower().startswith(actions.GREENGRASS):
            continue
        hint = "check its spelling; what the back end does belongs into its role"
        yield PolicyFinding("error", statement.title, f"no device's policy decides {action}", hint)


def _is_pattern(action: str) -> bool:
    return "*" in action or "?" in action


def _actions(statement: Statement) -> Iterator[PolicyFinding]:
    for action in statement.actions:
        if _is_pattern(action):
            yield PolicyFinding(
                "error", statement.title, f"the action {action} has a wildcard", "name each action", wildcard=True
            )
        elif action.lower().startswith(actions.GREENGRASS):
            hint = "remove it, unless the device is a Greengrass core"
            yield PolicyFinding("warning", statement.title, f"a device with leaf does not use {action}", hint)


def _resource(statement: Statement, resource: str) -> Iterator[PolicyFinding]:
    if resource == actions.EVERYTHING and _types(statement) == [actions.EVERYTHING]:
        return  # those actions take no other
    if resource == actions.EVERYTHING:
        hint = "name topics, with a policy variable for the thing"
        yield PolicyFinding("error", statement.title, "the resource * matches everything", hint, wildcard=True)
        return
    parts = _ARN.fullmatch(resource)
    if parts is None:
        yield PolicyFinding(
            "error", statement.title, f"{resource} is not an ARN of AWS IoT", "arn:aws:iot:REGION:ACCOUNT:topic/…"
        )
        return
    if patterns.has_wildcard(parts["region"] + parts["account"]):
        what = f"{resource} matches any region or account"
        yield PolicyFinding("warning", statement.title, what, "name region and account", wildcard=True)
    yield from _wrong_type(statement, parts["type"], resource)
    yield from _name(statement, parts["type"], parts["name"], resource)


def _wrong_type(statement: Statement, kind: str, resource: str) -> Iterator[PolicyFinding]:
    """The finding about a resource whose type none of the statement's actions has."""
    if (types := _types(statement)) and kind not in types:
        what = f"{resource} never applies to {', '.join(statement.actions)}"
        hint = " or ".join("*" if kind == actions.EVERYTHING else f"{kind}/…" for kind in types)
        yield PolicyFinding("error", statement.title, what, f"use {hint}")


def _types(statement: Statement) -> list[str]:
    """The types of resource that the statement's actions ask about; empty where that is not known of each."""
    known = [actions.ACTIONS.get(action.lower()) for action in statement.actions]
    if statement.not_actions or None in known:
        return []
    return sorted({action.resource for action in known if action})


def _name(statement: Statement, kind: str, name: str, resource: str) -> Iterator[PolicyFinding]:
    if _JOB.fullmatch(name) and not (kind == "topic" and "+" in name):
        return
    if is_provisioning(name):
        if patterns.has_wildcard(name):
            what = f"{resource} has a wildcard, which matches more topics of provisioning than one format needs"
            yield PolicyFinding("warning", statement.title, what, "name each topic", wildcard=True)
        return
    used = patterns.names(name)
    own = is_own(name)
    plain = patterns.VARIABLE.sub("", name)
    if patterns.has_wildcard(name):
        level: Literal["error", "warning"] = "warning" if own else "error"
        whose = "more topics of the device than it needs" if own else "topics of other devices"
        what = f"{resource} has a wildcard, which matches {whose}"
        yield PolicyFinding(level, statement.title, what, "name each topic", wildcard=True)
    elif not own and kind in ("topic", "client", "thing"):
        yield PolicyFinding(
            "warning",
            statement.title,
            f"{resource} is the same for every device that has this policy",
            f"put {variables.THING_NAME} into it, unless it is meant to be shared",
        )
    mqtt = "+" in plain or "#" in plain
    if mqtt and kind == "topicfilter":
        yield PolicyFinding("warning", statement.title, f"{resource} subscribes to many topics at once", "name each topic")
    elif mqtt:
        yield PolicyFinding(
            "error",
            statement.title,
            f"+ and # are not wildcards in {resource}",
            "name the topic; the wildcard of a policy is *",
        )
    if kind == "client" and [variable.lower() for variable in used] == ["iot:clientid"]:
        yield PolicyFinding(
            "error", statement.title, f"{resource} lets it connect as any client", f"use {variables.THING_NAME}"
        )


def _connect_keys(statement: Statement) -> Iterator[PolicyFinding]:
    """The findings about the condition keys that only CONNECT has."""
    given = [(key, values) for keys in statement.conditions.values() for key, values in keys.items()]
    for key, values in given:
        if key.lower() not in (variables.CONNECT_ATTRIBUTES.lower(), variables.WILL_TOPIC.lower()):
            continue
        if not statement.not_actions and any(name.lower() != "iot:connect" for name in statement.actions):
            what = f"only iot:Connect has {key}"
            yield PolicyFinding("error", statement.title, what, "give iot:Connect a statement of its own")
        if key.lower() == variables.WILL_TOPIC.lower():
            continue
        for value in values:
            if not _is_pattern(value) and value not in (variables.PERSISTENT, variables.WILL):
                what, hint = f"{key} never has the value {value}", f"use {variables.PERSISTENT} or {variables.WILL}"
                yield PolicyFinding("error", statement.title, what, hint)


def _plain_text(statement: Statement) -> Iterator[PolicyFinding]:
    values = (value for keys in statement.conditions.values() for values in keys.values() for value in values)
    if any(patterns.shown(text) != text for text in (*statement.resources, *values)):
        what = f"policy variables are plain text in Version {document.OLD}, which a document without Version has"
        yield PolicyFinding("error", statement.title, what, f'write "Version": "{document.CURRENT}"')


def _unknown_variables(statement: Statement) -> Iterator[PolicyFinding]:
    names = [name for resource in statement.resources for name in patterns.names(resource)]
    for keys in statement.conditions.values():
        names += keys
        names += [name for values in keys.values() for value in values for name in patterns.names(value)]
    for name in dict.fromkeys(names):
        if name.lower().startswith("iot:") and not variables.is_known(name):
            yield PolicyFinding(
                "error",
                statement.title,
                f"AWS IoT has no variable {name}",
                "check its spelling: a variable without a value matches nothing",
            )
