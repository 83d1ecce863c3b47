"""Least-privilege policies: the topics that a device running ``leaf`` uses, and nothing else.

A policy variable stands for the thing: one policy serves a whole fleet, and no device can use another's topics (AWS IoT:
thing policy variables). The only wildcard stands for the ids of the device's own jobs, which are not known beforehand. Each
service has its own policy, because the topics of all services do not fit into one; a certificate may have ten policies (AWS
IoT quotas). A policy for several customers distinguishes them by the organization of the CA that issued the certificate.
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
"""The topics that ``leaf.services`` publishes and subscribes to, below ``$aws/things/<thing>/<service>/``; + is a job id."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # of an application: config_schema.json
_SHADOW = re.compile(r"[A-Za-z0-9:_-]{1,64}")  # AWS IoT: names of shadows


def check_services(services: Iterable[str]) -> None:
    """Raise BadInput for a name that is not in SERVICES. A shadow's name may follow, as in ``shadow:config``."""
    for given in services:
        service, colon, name = given.partition(":")
        named = service == "shadow" and _SHADOW.fullmatch(name) is not None if colon else True
        if service not in SERVICES or not named:
            raise BadInput(
                f"{given!r} is not a service of AWS IoT that leaf supports", hint="use shadow, shadow:NAME or jobs"
            )


def check_application(name: str) -> None:
    """Raise BadInput where no device can have an application of this name."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is not an application's name", hint="use 1 to 64 letters, digits, _ and -, as in config.json"
        )


def render(arn_prefix: str, application: str, streams: Iterable[str], topics: Iterable[str] = ()) -> dict[str, Any]:
    """The policy document of an application. ``arn_prefix`` is ``arn:aws:iot:REGION:ACCOUNT``.

    ``topics`` are those that the application subscribes to beside the device's own. Raises BadInput for a
    document that is too long, and for an invalid topic.
    """
    made = _document([_connect(arn_prefix, {}), *_each_action(_topics(arn_prefix, application, streams, topics))])
    return fitting(made, "split the streams over two policies, and attach both")


def render_service(arn_prefix: str, service: str) -> dict[str, Any]:
    """The policy document of a service, beside that of an application. Raises BadInput for an unknown service."""
    return fitting(_document(_each_action(_service_topics(arn_prefix, service))), "give the shadow a shorter name")


def _service_topics(arn_prefix: str, service: str) -> dict[str, list[str]]:
    check_services([service])
    kind, _, name = service.partition(":")
    base = f"$aws/things/{THING}/{kind}" + (f"/name/{name}" if name else "")
    asked, answers = ([f"{base}/{topic}" for topic in topics] for topics in SERVICES[kind])
    # The wildcard of a policy is *; the + of a topic filter is an ordinary character there (AWS IoT: wildcards).
    return {
        "iot:Publish": [f"{arn_prefix}:topic/{topic.replace('+', '*')}" for topic in asked],
        "iot:Subscribe": [f"{arn_prefix}:topicfilter/{topic}" for topic in answers],
        "iot:Receive": [f"{arn_prefix}:topic/{topic.replace('+', '*')}" for topic in answers],
    }


def will_topic(application: str, thing: str) -> str:
    """The topic of the last will that ``leaf`` gives with each CONNECT, which also asks for a persistent session."""
    return f"dt/{application}/{thing}/status"


def service_policy(service: str) -> str:
    """The name of a service's policy. It cannot be that of an application, which begins with ``rootlet-``."""
    return "rootlet_" + service.replace(":", "_")


def render_customers(
    arn_prefix: str, customers: Mapping[str, str], streams: Iterable[str], topics: Iterable[str] = ()
) -> dict[str, Any]:
    """One policy document for several customers. ``customers`` maps the issuing CA's organization to an application.

    Where every application has its organization's name, a variable stands for both, and the document hardly grows with
    the customers. Otherwise each customer has one statement for all actions, since AWS IoT accepts 2048 characters: a
    device may then also publish to its own request topic. Raises BadInput where AWS would refuse the document.
    """
    for organization, application in customers.items():
        if not organization.isprintable() or not organization or not can_replace(organization):
            raise BadInput(
                f"the organization {organization!r} cannot stand in a policy",
                hint="issue under a CA whose organization has none of * $ + ? # (AWS IoT: policy variable limitations)",
            )
        check_application(application)
    if len(set(customers.values())) < len(customers):
        raise BadInput(
            "two customers have the same application", hint="give each customer its own, as in --customer Acme=acme"
        )
    wanted = [escaped(organization) for organization in customers]
    statements = [_connect(arn_prefix, _if(wanted))]
    if all(organization == application for organization, application in customers.items()):
        statements += _each_action(_resources(arn_prefix, f"${{{ISSUER}}}", streams, topics))
    else:
        for organization, application in customers.items():
            actions = _topics(arn_prefix, application, streams, topics)
            resources = [resource for named in actions.values() for resource in named]
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": list(dict.fromkeys(resources))}
            statements.append(statement | {"Condition": _if([escaped(organization)])})
    hint = "name each application like its organization (--customer acme), or make a policy for each customer"
    return fitting(_document(statements), hint)


def fitting(made: dict[str, Any], hint: str) -> dict[str, Any]:
    """``made``, a policy document. Raises BadInput with ``hint`` where it is longer than AWS IoT accepts."""
    if (size := document.characters(made)) > document.MAX_CHARACTERS:
        what = f"the policy has {size} characters, and AWS IoT accepts {document.MAX_CHARACTERS}"
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
    """All actions of a device with an application: action, resource (with THING in it), and the FILE:LINE that needs it."""
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
    """The actions of a device with ``application``, and the resources of each."""
    check_application(application)
    return _resources(prefix, application, streams, topics)


def _resources(prefix: str, application: str, streams: Iterable[str], topics: Iterable[str]) -> dict[str, list[str]]:
    streams, topics = list(streams), list(topics)
    for stream in streams:
        if not _is_topic(stream):
            raise BadInput(f"{stream!r} is not a stream's name", hint="use one without wildcards, such as climate")
    if wrong := [topic for topic in topics if not _is_topic(topic)]:
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


def _is_topic(text: str) -> bool:
    """Whether a policy can name it: no wildcard of MQTT or of policies, no variable, nothing invisible."""
    return bool(text) and text.isprintable() and not set(text) & set("+#*?$")


def same(document: str, wanted: dict[str, Any]) -> bool:
    """Whether a policy document that AWS returned equals ``wanted``."""
    found: dict[str, Any] = json.loads(document)
    return found == wanted
