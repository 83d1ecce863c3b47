"""Certificates that are attached to one thing exclusively (AWS IoT: associating a thing to an MQTT client connection)."""

import json
from typing import Any

EXCLUSIVE, SHARED = "EXCLUSIVE_THING", "NON_EXCLUSIVE_THING"
_KEY = "rootletExclusiveThing"  # in a certificate's record, which the sandbox's state keeps


def apply(iot: Any) -> None:
    handle, route = iot._handle_thing_principals, iot._route_request

    def handle_thing_principals(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, str]) -> Any:
        record = iot._certificates.get(headers.get("x-amzn-principal", "").rpartition("/")[2])
        thing = iot._things.get(path.split("/")[2])
        if method == "PUT" and record is not None and thing is not None:
            kind = query.get("thingPrincipalType", SHARED)
            if problem := _problem(record, thing, kind):
                return iot.error_response_json("InvalidRequestException", problem, 400)
        answer = handle(method, path, headers, body, query)
        if answer[0] == 200 and record is not None and thing is not None and method in ("PUT", "DELETE"):
            record.pop(_KEY, None)
            if method == "PUT" and kind == EXCLUSIVE:
                record[_KEY] = thing["thingArn"]
            iot._certificates[headers["x-amzn-principal"].rpartition("/")[2]] = record
        return answer

    async def route_request(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        if (method, path) != ("GET", "/principals/things-v2"):
            return await route(method, path, headers, body, query)
        status, more, answer = await route(method, "/principals/things", headers, body, query)
        if status == 200:
            record = iot._certificates.get(headers.get("x-amzn-principal", "").rpartition("/")[2]) or {}
            kind = EXCLUSIVE if _KEY in record else SHARED
            things = [{"thingName": name, "thingPrincipalType": kind} for name in json.loads(answer)["things"]]
            answer = json.dumps({"principalThingObjects": things}).encode()
        return status, more, answer

    iot._handle_thing_principals = handle_thing_principals
    iot._route_request = route_request


def exclusive_thing(record: dict[str, Any]) -> str | None:
    """The ARN of the thing that a certificate is attached to exclusively."""
    return record.get(_KEY)


def _problem(record: dict[str, Any], thing: dict[str, Any], kind: str) -> str:
    others = [arn for arn in record.get("attachedThings", []) if arn != thing["thingArn"]]
    if kind not in (EXCLUSIVE, SHARED):
        return f"thingPrincipalType must be {EXCLUSIVE} or {SHARED}"
    if others and (kind == EXCLUSIVE or _KEY in record):
        return "The principal is attached to another thing, and one of both attachments is exclusive"
    return ""
