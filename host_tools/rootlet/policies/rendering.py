"""Least-privilege policies: what a device running ``leaf`` does, topic by topic, and nothing else.

A policy variable stands for the thing, so that one policy serves a whole fleet and no device can touch another's topics
(AWS IoT: thing policy variables). No resource has a wildcard but for the ids of the device's own jobs, which nobody knows
beforehand. Each service has a policy of its own, for the topics of all by name are more than one policy holds; a
certificate may have ten (AWS IoT quotas). Several customers under one policy are told apart by the organization of the CA
that issued the device's certificate.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rootlet.errors import BadInput
from rootlet.policies import document
from rootlet.policies.application import Application
from rootlet.policies.variables import THING_NAME as THING
from rootlet.policies.variables import can_replace, escaped

ISSUER = "iot:Certificate.Issuer.Organization"
ALWAYS = ("status", "faults")
"""The streams that ``leaf`` itself publishes."""

SERVICES = {
    "shadow": (("get", "update"), ("update/delta", "update/rejected", "get/accepted", "get/rejected")),
    "jobs": (
        ("start-next", "+/update"),
        ("notify-next", "start-next/accepted", "start-next/rejected", "+/update/rejected"),
    ),
}
"""What ``leaf.services`` publishes and what it subscribes to, below ``$aws/things/<thing>/<service>/``; + is a job's id."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")  # of an application: config_schema.json
_SHADOW = re.compile(r"[A-Za-z0-9:_-]{1,64}")  # AWS IoT: names of shadows


def check_services(services: Iterable[str]) -> None:
    """Raises BadInput for what is none of SERVICES; a shadow's name may follow, as in ``shadow:config``."""
    for given in services:
        service, colon, name = given.partition(":")
        named = service == "shadow" and _SHADOW.fullmatch(name) is not None if colon else True
        if service not in SERVICES or not named:
            raise BadInput(f"{given!r} is no service of a device", hint="use shadow, shadow:NAME or jobs")


def render(arn_prefix: str, application: str, streams: Iterable[str], topics: Iterable[str] = ()) -> dict[str, Any]:
    """The policy document; ``arn_prefix`` is such as ``arn:aws:iot:eu-west-1:123456789012``.

    ``topics`` are those that the application subscribes to beside the device's own. Raises BadInput for more than a
    policy holds, and for a topic that is none.
    """
    made = _document([_connect(arn_prefix, {}), *_each_action(_topics(arn_prefix, application, streams, topics))])
    return _fitting(made, "make two policies of it, and attach both: a device may have several")


def render_service(arn_prefix: str, service: str) -> dict[str, Any]:
    """What a service needs beside ``render``'s policy, for any application. Raises BadInput for an unknown service."""
    return _fitting(_document(_each_action(_service_topics(arn_prefix, service))), "give the shadow a shorter name")


def _service_topics(arn_prefix: str, service: str) -> dict[str, list[str]]:
    check_services([service])
    kind, _, name = service.partition(":")
    base = f"$aws/things/{THING}/{kind}" + (f"/name/{name}" if name else "")
    asked, answers = ([f"{base}/{topic}" for topic in topics] for topics in SERVICES[kind])
    # A policy has * for what a filter has + for; in the filter itself, + is just a character (AWS IoT: wildcards).
    return {
        "iot:Publish": [f"{arn_prefix}:topic/{topic.replace('+', '*')}" for topic in asked],
        "iot:Subscribe": [f"{arn_prefix}:topicfilter/{topic}" for topic in answers],
        "iot:Receive": [f"{arn_prefix}:topic/{topic.replace('+', '*')}" for topic in answers],
    }


def service_policy(service: str) -> str:
    """The name of a service's policy. No application's is called so: theirs begin with ``rootlet-``."""
    return "rootlet_" + service.replace(":", "_")


def render_customers(
    arn_prefix: str, customers: Mapping[str, str], streams: Iterable[str], topics: Iterable[str] = ()
) -> dict[str, Any]:
    """One policy for several customers: the organization of the issuing CA, and the application that it may use.

    Where every application is called as its organization, a variable stands for both, and the policy hardly grows with
    the customers. Else each customer has a statement of its own, one for all actions, since AWS IoT takes 2048
    characters: a device may then also publish to its own request topic, which harms nobody else. Raises BadInput for
    what AWS would not take.
    """
    for organization, application in customers.items():
        if not organization or not can_replace(organization):
            raise BadInput(
                f"the organization {organization!r} cannot stand in a policy",
                hint="issue under a CA whose organization is without * $ + ? # (AWS IoT: policy variable limitations)",
            )
        if not _NAME.fullmatch(application):
            raise BadInput(f"{application!r} is no application", hint="use letters, digits, _ and -, as in config.json")
    if len(set(customers.values())) < len(customers):
        raise BadInput("two customers have the same application", hint="give each its own, as in --customer Acme=acme")
    wanted = [escaped(organization) for organization in customers]
    statements = [_connect(arn_prefix, _if(wanted))]
    if all(organization == application for organization, application in customers.items()):
        statements += _each_action(_topics(arn_prefix, f"${{{ISSUER}}}", streams, topics))
    else:
        for organization, application in customers.items():
            actions = _topics(arn_prefix, application, streams, topics)
            resources = [resource for named in actions.values() for resource in named]
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(dict.fromkeys(resources))}
            statements.append(statement | {"Condition": _if([escaped(organization)])})
    hint = "call the applications as the organizations (--customer acme), or make a policy for each customer"
    return _fitting(_document(statements), hint)


def _fitting(made: dict[str, Any], hint: str) -> dict[str, Any]:
    if (size := document.characters(made)) > document.MAX_CHARACTERS:
        what = f"the policy would have {size} characters, and AWS IoT takes {document.MAX_CHARACTERS}"
        raise BadInput(what, hint=hint)
    return made


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _if(organizations: list[str]) -> dict[str, Any]:
    return {"StringEquals": {ISSUER: organizations if len(organizations) > 1 else organizations[0]}}


def _connect(prefix: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": f"{prefix}:client/{THING}",
        "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"}} | condition,
    }


def _each_action(topics: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    return [
        {"Effect": "Allow", "Action": action, "Resource": named if len(named) > 1 else named[0]}
        for action, named in topics.items()
    ]


def needs(arn_prefix: str, application: str, read: Application) -> Iterator[tuple[str, str, str]]:
    """All that a device with an application does: action, resource (with THING in it), and the FILE:LINE that wants it."""
    places = {f"/{application}/{THING}/{use.name}": use.place for use in read.streams}
    places |= {f"/{use.name}": use.place for use in read.topics}
    base = _topics(arn_prefix, application, [use.name for use in read.streams], [use.name for use in read.topics])
    for action, resources in ({"iot:Connect": [f"{arn_prefix}:client/{THING}"]} | base).items():
        for resource in resources:
            yield action, resource, next((place for end, place in places.items() if resource.endswith(end)), "leaf itself")
    for use in read.services:
        for action, resources in _service_topics(arn_prefix, use.name).items():
            yield from ((action, resource, use.place) for resource in resources)


def _topics(prefix: str, application: str, streams: Iterable[str], topics: Iterable[str] = ()) -> dict[str, list[str]]:
    """What a device of ``application`` does: the action, and the resources of it."""
    if wrong := [topic for topic in topics if not topic or set(topic) & set("+#*?$")]:
        raise BadInput(f"{wrong[0]!r} is not a topic that a policy can name", hint="subscribe to topics without wildcards")
    own = f"dt/{application}/{THING}"
    heard = [f"cmd/{application}/{THING}/request", *sorted(topics)]
    published = [f"{prefix}:topic/{own}/{name}" for name in sorted({*streams, *ALWAYS})]
    return {
        "iot:Publish": [*published, f"{prefix}:topic/cmd/{application}/{THING}/response"],
        "iot:RetainPublish": [f"{prefix}:topic/{own}/status"],
        "iot:Subscribe": [f"{prefix}:topicfilter/{topic}" for topic in heard],
        "iot:Receive": [f"{prefix}:topic/{topic}" for topic in heard],
    }


def same(document: str, wanted: dict[str, Any]) -> bool:
    """Whether a policy document that AWS returned says what ``wanted`` says."""
    found: dict[str, Any] = json.loads(document)
    return found == wanted
