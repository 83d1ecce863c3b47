"""Findings about a device's policy: what is too permissive, and what cannot work.

Device Advisor's case Security Device Policies and Device Defender's audit "IoT policy overly permissive" report wildcards.
The other findings are mistakes that AWS accepts, and that first appear on a device in the field.
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
"""The actions of a device's MQTT session, and each one's type of resource (AWS IoT: policy resources)."""

SERVICES = {
    *("getthingshadow", "updatethingshadow", "deletethingshadow", "listnamedshadowsforthing"),
    *("describejobexecution", "getpendingjobexecutions", "startnextpendingjobexecution", "updatejobexecution"),
    *("getretainedmessage", "listretainedmessages", "assumerolewithcertificate"),
}
"""Other actions that a device may need, over HTTPS (AWS IoT: policy actions)."""

_OWN = ("iot:connection.thing.thingname", "iot:clientid", "iot:certificate.subject.", "iot:certificate.serialnumber")
_ARN = re.compile(r"arn:[\w-]+:iot:(?P<region>[^:]*):(?P<account>[^:]*):(?P<type>[^/]*)/(?P<name>.*)", re.DOTALL)

_JOB = re.compile(re.escape(f"$aws/things/{variables.THING_NAME}/jobs/") + r"[*+](/[a-z]+)+")
"""Topics of the thing's own jobs, whose ids are not known beforehand."""


@dataclass(frozen=True)
class PolicyFinding:
    """``level``: an error allows a device too much, or never works; a warning deserves a look."""

    level: Literal["error", "warning"]
    statement: str
    what: str
    hint: str
    wildcard: bool = False
    """Whether Device Advisor and Device Defender report it, too."""


def check(name: str, given: str | Mapping[str, Any]) -> list[PolicyFinding]:
    """The findings about a policy; empty where it has no fault. Raises BadInput where it is malformed."""
    policy = document.parse(name, given)
    found = [finding for statement in policy.statements for finding in _statement(statement)]
    size = document.characters(given if isinstance(given, Mapping) else document.load(name, given))
    if size > document.MAX_CHARACTERS:
        what = f"{size} characters without white space; AWS IoT accepts {document.MAX_CHARACTERS}"
        found.append(PolicyFinding("error", "the document", what, "use policy variables instead of names, or split it"))
    return found


def _statement(statement: Statement) -> Iterator[PolicyFinding]:
    yield from _unknown_variables(statement)
    if statement.effect == "Deny":
        return  # a Deny that is too wide allows nothing
    for what, inverted in (("NotAction", statement.not_actions), ("NotResource", statement.not_resources)):
        if inverted:
            found = f"it allows everything but what {what} names"
            yield PolicyFinding("error", statement.title, found, f"name what is allowed, not {what}", wildcard=True)
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
                "warning", statement.title, f"a device does not use {action}", "move it to the back end's role"
            )


def _resource(statement: Statement, resource: str) -> Iterator[PolicyFinding]:
    if resource == "*":
        hint = "name topics, with a policy variable for the thing"
        yield PolicyFinding("error", statement.title, "the resource * matches everything", hint, wildcard=True)
        return
    parts = _ARN.fullmatch(resource)
    if parts is None:
        yield PolicyFinding(
            "error", statement.title, f"{resource} is not an ARN of AWS IoT", "arn:aws:iot:REGION:ACCOUNT:topic/…"
        )
        return
    if "*" in parts["region"] + parts["account"]:
        yield PolicyFinding(
            "warning", statement.title, f"{resource} matches any region or account", "name region and account"
        )
    yield from _wrong_type(statement, parts["type"], resource)
    yield from _name(statement, parts["type"], parts["name"], resource)


def _wrong_type(statement: Statement, kind: str, resource: str) -> Iterator[PolicyFinding]:
    """The finding about a resource whose type none of the statement's actions has."""
    verbs = [action.lower().removeprefix("iot:") for action in statement.actions]
    if statement.not_actions or not all(verb in DATA_PLANE for verb in verbs):
        return
    types = sorted({DATA_PLANE[verb] for verb in verbs})
    if kind not in types:
        yield PolicyFinding(
            "error", statement.title, f"{resource} never applies to {', '.join(statement.actions)}", _types(types)
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
        whose = "more topics of the device than it needs" if own else "topics of other devices"
        what = f"{resource} has a wildcard, which matches {whose}"
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
            "error",
            statement.title,
            f"+ and # are not wildcards in {resource}",
            "name the topic; the wildcard of a policy is *",
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
