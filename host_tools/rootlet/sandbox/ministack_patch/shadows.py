"""What the Device Shadow service refuses, and the list of a thing's named shadows.

Texts are those of AWS IoT's developer guide, Device Shadow error messages; sizes are in AWS IoT Core endpoints and quotas.
"""

import copy
import json
from typing import Any
from urllib.parse import unquote

STATE_SIZE = 8 * 1024  # bytes of desired and reported together, without metadata
LEVELS = 8  # of desired and of reported
TOKEN_SIZE = 64  # bytes of a client token
_PAGE = 25  # names of one answer, if the request does not say
_LIST = "/api/things/shadow/ListNamedShadowsForThing/"
_SECTIONS = ("desired", "reported")


def apply(iot: Any, iot_data: Any) -> None:
    update, rejected = iot.update_thing_shadow, iot._shadow_rejected
    serve, serve_shadow = iot_data.handle_request, iot_data._shadow

    def update_shadow(thing: str, name: str, request: Any) -> tuple[int, dict[str, Any]]:
        reason = fault(request)
        if reason is None and _size(_merged(iot, thing, name, request["state"])) > STATE_SIZE:
            return 413, {"message": "The payload exceeds the maximum size allowed"}
        if reason is not None:
            return 400, {"message": reason}
        answer: tuple[int, dict[str, Any]] = update(thing, name, request)
        return answer

    async def shadow(*request: Any) -> Any:
        answer = await serve_shadow(*request)
        if answer[0] == 413:
            reason = json.loads(answer[2])["message"]
            return iot_data.error_response_json("RequestEntityTooLargeException", reason, 413)
        return answer

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: dict[str, Any]) -> Any:
        if method == "GET" and path.startswith(_LIST):
            return _named(iot, iot_data, unquote(path[len(_LIST) :]), query)
        return await serve(method, path, headers, body, query)

    iot.update_thing_shadow, iot_data._shadow, iot_data.handle_request = update_shadow, shadow, handle_request
    iot._shadow_rejected = lambda *about: rejected(*about) | {"timestamp": iot._shadow_now()}


def fault(request: Any) -> str | None:
    """Why AWS answers an update with 400; None if it does not."""
    if not isinstance(request, dict) or "state" not in request:
        return "Missing required node: state"
    state, token, version = request["state"], request.get("clientToken"), request.get("version")
    if not isinstance(state, dict):
        return "State node must be an object"
    for section in _SECTIONS:
        if not isinstance(state.get(section) or {}, dict):
            return f"{section.capitalize()} node must be an object"
        if _levels(state.get(section)) - 1 > LEVELS:
            return f"JSON contains too many levels of nesting; maximum is {LEVELS}"
    if state.keys() - set(_SECTIONS):
        return "State contains an invalid node"
    if version is not None and (not isinstance(version, int) or isinstance(version, bool)):
        return "Invalid version"
    if token is not None and (not isinstance(token, str) or len(token.encode()) > TOKEN_SIZE):
        return "Invalid clientToken"
    return None


def _levels(value: Any) -> int:
    """How deep objects and lists are nested, 0 for anything else. ``value`` may be deeper than Python recurses."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, level = waiting.pop()
        if isinstance(one, dict | list):
            deepest = max(deepest, level)
            waiting += [(child, level + 1) for child in (one.values() if isinstance(one, dict) else one)]
    return deepest


def _merged(iot: Any, thing: str, name: str, state: dict[str, Any]) -> dict[str, Any]:
    """What desired and reported would be after the update."""
    merged = copy.deepcopy((iot._shadows.get((thing, name)) or {}).get("state") or {})
    for section in state:
        if state[section] is None:
            merged.pop(section, None)
        else:
            iot._deep_merge(merged.setdefault(section, {}), copy.deepcopy(state[section]))
    return merged


def _size(state: dict[str, Any]) -> int:
    return len(json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode())


def _named(iot: Any, iot_data: Any, thing: str, query: dict[str, Any]) -> Any:
    asked = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
    if iot._things.get(thing) is None:
        return iot_data.error_response_json("ResourceNotFoundException", f"Thing {thing} does not exist", 404)
    names = sorted(
        name for (owner, name), record in iot._shadows.items() if owner == thing and name and not record.get("deleted")
    )
    after = asked.get("nextToken", "")
    rest = [name for name in names if name > after]
    size = int(asked.get("pageSize") or _PAGE)
    answer: dict[str, Any] = {"results": rest[:size], "timestamp": iot._shadow_now()}
    if len(rest) > size:
        answer["nextToken"] = rest[size - 1]
    return iot_data.json_response(answer)
