"""Requests to the control plane, checked by AWS's own model of its API (botocore's): patterns and lengths.

ministack checks some names, with expressions that a line break at the end passes, and no attribute.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape


def apply(iot: Any) -> None:
    route, provision = iot._route_request, iot._apply_provisioning_plan

    async def route_request(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        if problem := next(_problems(method, path, headers, body, query), ""):
            return iot.error_response_json("InvalidRequestException", f"1 validation error detected: {problem}", 400)
        return await route(method, path, headers, body, query)

    async def apply_plan(plan: dict[str, Any], *more: Any) -> Any:
        """What a template makes of a certificate passes the same API."""
        thing: dict[str, Any] = (plan["thing"] or ({},))[0]
        given = {
            "thingName": thing.get("ThingName"),
            "thingTypeName": thing.get("ThingTypeName"),
            "attributePayload": {"attributes": thing.get("AttributePayload") or {}},
        }
        if problem := next(_violations(_model().shape_for("CreateThingRequest"), given, ""), ""):
            raise iot._provisioning_failed(f"1 validation error detected: {problem}")
        return await provision(plan, *more)

    iot._route_request, iot._apply_provisioning_plan = route_request, apply_plan


def _problems(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any) -> Iterator[str]:
    for expression, operation in _operations():
        match = expression.fullmatch(f"{method} {path}")
        if match is not None and operation.input_shape is not None:
            given = _given(operation.input_shape, match.groupdict(), headers, body, query)
            yield from _violations(operation.input_shape, given, "")
            return


def _given(
    shape: StructureShape, uri: Mapping[str, str], headers: Mapping[str, str], body: bytes, query: Any
) -> dict[str, Any]:
    """The members of a request, by their names in the model."""
    try:
        document = json.loads(body) if body else {}
    except ValueError:
        document = {}
    places = {"uri": uri, "header": headers, "querystring": query, None: document if isinstance(document, dict) else {}}
    given = {}
    for name, member in shape.members.items():
        place = places.get(member.serialization.get("location"))
        value = place.get(member.serialization.get("name", name)) if place is not None else None
        given[name] = value[0] if isinstance(value, list) and place is query and value else value
    return given


def _violations(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _violations(member, value[name], f"{where}.{name}".lstrip("."))
    elif isinstance(shape, MapShape) and isinstance(value, Mapping):
        for name, one in value.items():
            yield from _violations(shape.key, name, where)
            yield from _violations(shape.value, one, f"{where}.{name}.member")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for number, one in enumerate(value, 1):
            yield from _violations(shape.member, one, f"{where}.{number}.member")
    elif isinstance(shape, StringShape) and isinstance(value, str) and (what := _constraint(shape, value)):
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {what}"


def _constraint(shape: StringShape, value: str) -> str:
    about = shape.metadata
    if "max" in about and len(value) > about["max"]:
        return f"have length less than or equal to {about['max']}"
    if len(value) < about.get("min", 0):
        return f"have length greater than or equal to {about['min']}"
    pattern = about.get("pattern", "")
    expression = _compiled(pattern)
    if expression is not None and not expression.fullmatch(value):
        return f"satisfy regular expression pattern: {pattern}"
    return ""


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern, re.ASCII) if pattern else None
    except re.error:  # Java's \p{Graph}
        return None


@cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("iot", "service-2"), "iot")


@cache
def _operations() -> tuple[tuple[re.Pattern[str], OperationModel], ...]:
    """Each operation, and what its method and path look like; those with fewer variables come first."""
    found = []
    for name in _model().operation_names:
        operation = _model().operation_model(name)
        path, _, _ = operation.http["requestUri"].partition("?")
        parts = re.split(r"\{(\w+)(\+?)\}", path)
        expression = re.escape(operation.http["method"]) + " " + re.escape(parts[0])
        for variable, greedy, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            expression += f"(?P<{variable}>{'.+' if greedy else '[^/]+'}){re.escape(text)}"
        found.append((len(parts), re.compile(expression, re.DOTALL), operation))
    found.sort(key=lambda entry: entry[0])
    return tuple((expression, operation) for _, expression, operation in found)
