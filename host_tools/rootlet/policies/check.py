"""What is too wide in a device's policy, as AWS IoT Device Advisor and Device Defender warn, and what cannot work.

Device Advisor's case Security Device Policies and Device Defender's audit "IoT policy overly permissive" look for
wildcards. The rest are mistakes that AWS accepts without a word, and that show on a device in the field.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rootlet.policies import document, patterns, variables
from rootlet.policies.document import Statement

DATA_PLANE = {
    "connect": "client",
    "publish": "topic",
    "retainpublish": "topic",
    "receive": "topic",
    "subscribe": "topicfilter",
}
"""What a device's MQTT session does, and the type of resource that it does it to (AWS IoT: policy resources)."""

SERVICES = {
    *("getthingshadow", "updatethingshadow", "deletethingshadow", "listnamedshadowsforthing"),
    *("describejobexecution", "getpendingjobexecutions", "startnextpendingjobexecution", "updatejobexecution"),
    *("getretainedmessage", "listretainedmessages", "assumerolewithcertificate"),
}
"""Other actions that a device may need, over HTTPS (AWS IoT: policy actions)."""

_OWN = ("iot:connection.thing.thingname", "iot:clientid", "iot:certificate.subject.", "iot:certificate.serialnumber")
_ARN = re.compile(r"arn:[\w-]+:iot:(?P<region>[^:]*):(?P<account>[^:]*):(?P<type>[^/]*)/(?P<name>.*)", re.DOTALL)

_JOB = re.compile(re.escape(f"$aws/things/{variables.THING_NAME}/jobs/") + r"[*+](/[a-z]+)+")
"""Topics of the thing's own jobs: their ids are nobody's to name beforehand."""


@dataclass(frozen=True)
class PolicyFinding:
    """``level``: error is what lets a device do too much, or what never works; warning is what deserves a look."""

    level: Literal["error", "warning"]
    statement: str
    what: str
    hint: str
    wildcard: bool = False
    """Of those that Device Advisor and Device Defender look for."""


def check(name: str, given: str | Mapping[str, Any]) -> list[PolicyFinding]:
    """The findings about a policy; none is well. Raises BadInput where it is malformed."""
    policy = document.parse(name, given)
    found = [finding for statement in policy.statements for finding in _statement(statement)]
    size = document.characters(given if isinstance(given, Mapping) else document.load(name, given))
    if size > document.MAX_CHARACTERS:
        what = f"{size} characters without white space; AWS IoT takes {document.MAX_CHARACTERS}"
        found.append(PolicyFinding("error", "the document", what, "use policy variables instead of names, or split it"))
    return found


def _statement(statement: Statement) -> Iterator[PolicyFinding]:
    yield from _unknown_variables(statement)
    if statement.effect == "Deny":
        return  # what a Deny names too widely keeps out, and lets nobody in
    for what, inverted in (("NotAction", statement.not_actions), ("NotResource", statement.not_resources)):
        if inverted:
            told = f"it allows all but what {what} names"
            yield PolicyFinding("error", statement.title, told, f"name what is allowed, not {what}", wildcard=True)
    if not statement.not_actions:
        yield from _actions(statement)
    if not statement.not_resources:
        for resource in statement.resources:
            yield from _resource(statement, resource)


def _actions(statement: Statement) -> Iterator[PolicyFinding]:
    for action in statement.actions:
        service, _, verb = action.lower().partition(":")
        if "*" in action or "?" in action:
            yield PolicyFinding(
                "error", statement.title, f"the action {action} has a wildcard", "name each action", wildcard=True
            )
        elif service != "iot" or verb not in {*DATA_PLANE, *SERVICES}:
            yield PolicyFinding(
                "warning", statement.title, f"{action} is nothing that a device does", "leave it to roles of the back end"
            )


def _resource(statement: Statement, resource: str) -> Iterator[PolicyFinding]:
    if resource == "*":
        hint = "name topics, with a policy variable for the thing"
        yield PolicyFinding("error", statement.title, "the resource * is everything", hint, wildcard=True)
        return
    parts = _ARN.fullmatch(resource)
    if parts is None:
        yield PolicyFinding(
            "error", statement.title, f"{resource} is no ARN of AWS IoT", "arn:aws:iot:REGION:ACCOUNT:topic/…"
        )
        return
    if "*" in parts["region"] + parts["account"]:
        yield PolicyFinding("warning", statement.title, f"{resource} is any region or account", "name both")
    yield from _wrong_type(statement, parts["type"], resource)
    yield from _name(statement, parts["type"], parts["name"], resource)


def _wrong_type(statement: Statement, kind: str, resource: str) -> Iterator[PolicyFinding]:
    """A resource that none of the statement's actions is about."""
    verbs = [action.lower().removeprefix("iot:") for action in statement.actions]
    if statement.not_actions or not all(verb in DATA_PLANE for verb in verbs):
        return
    types = sorted({DATA_PLANE[verb] for verb in verbs})
    if kind not in types:
        yield PolicyFinding(
            "error", statement.title, f"{resource} is never asked about by {', '.join(statement.actions)}", _types(types)
        )


def _types(types: list[str]) -> str:
    return f"use {' or '.join(f'{kind}/…' for kind in types)}"


def _name(statement: Statement, kind: str, name: str, resource: str) -> Iterator[PolicyFinding]:
    if _JOB.fullmatch(name) and not (kind == "topic" and "+" in name):
        return
    used = patterns.names(name)
    own = any(variable.lower().startswith(_OWN) for variable in used)
    plain = patterns.VARIABLE.sub("", name)
    if "*" in plain or "?" in plain:
        level: Literal["error", "warning"] = "warning" if own else "error"
        whose = "more topics of the device than it needs" if own else "what belongs to other devices"
        what = f"{resource} has a wildcard, and so reaches {whose}"
        yield PolicyFinding(level, statement.title, what, "name each topic", wildcard=True)
    elif not own and kind in ("topic", "client"):
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
            "error", statement.title, f"+ and # are no wildcards in {resource}", "name the topic; AWS IoT's wildcard is *"
        )
    if kind == "client" and [variable.lower() for variable in used] == ["iot:clientid"]:
        yield PolicyFinding(
            "error", statement.title, f"{resource} lets it connect as any client", f"use {variables.THING_NAME}"
        )


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
