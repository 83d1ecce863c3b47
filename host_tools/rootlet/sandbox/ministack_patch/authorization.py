"""TestAuthorization, which ministack does not have: what this cloud's policies decide, asked over the API.

Whom AWS knows by Amazon Cognito, the sandbox does not.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rootlet.policies.decision import Considered, Decision, decide
from rootlet.policies.document import Policy
from rootlet.policies.variables import Variables, of_connection
from rootlet.sandbox.ministack_patch import deciding

ACTIONS = {"CONNECT": "iot:Connect", "PUBLISH": "iot:Publish", "SUBSCRIBE": "iot:Subscribe", "RECEIVE": "iot:Receive"}
MOST = 10  # AuthInfos, in AWS's model of its API
_PRINCIPAL = re.compile(r"arn:aws:iot:([\w-]+):(\d{12}):(cert|thinggroup)/(.+)")


class _RefusedError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


def apply(iot: Any) -> None:
    route = iot._route_request

    async def route_request(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        if (method, path) != ("POST", "/test-authorization"):
            return await route(method, path, headers, body, query)
        client_id = query.get("clientId", "")
        try:
            asked = _Question(iot, json.loads(body or b"{}"), client_id[0] if isinstance(client_id, list) else client_id)
            results = [asked.answer(info) for info in asked.infos]
        except _RefusedError as refused:
            return iot.error_response_json(refused.code, refused.message, refused.status)
        except ValueError:
            return iot.error_response_json("InvalidRequestException", "The request is not valid.", 400)
        return 200, {"Content-Type": "application/json"}, json.dumps({"authResults": results}).encode()

    iot._route_request = route_request


class _Question:
    """A request, read and checked; ``answer`` gives the result of one of its ``infos``."""

    def __init__(self, iot: Any, request: dict[str, Any], client_id: str) -> None:
        self.infos = _infos(request)
        kind, name = _principal(iot, request)
        self._prefix = f"arn:aws:iot:{iot.get_region()}:{iot.get_account_id()}"
        self._variables = _variables(iot, kind, name, client_id)
        self._policies = list(_policies(iot, kind, name, self._variables, request))

    def answer(self, info: dict[str, Any]) -> dict[str, Any]:
        """The result for all resources of ``info`` together: the strictest."""
        action = ACTIONS[info["actionType"]]
        # TestAuthorization has no parameter for a session or a will: of a CONNECT nothing of its own is known.
        decisions = [decide(self._policies, action, resource, self._variables) for resource in info["resources"]]
        strictest = min(decisions, key=lambda decision: (decision.allowed, decision.by is None))
        considered = [entry for decision in decisions for entry in decision.considered]
        missing = {name for decision in decisions for name, value in decision.values.items() if value is None}
        return {
            "authInfo": info,
            "allowed": self._named(entry for entry in considered if _applies(entry, "Allow")),
            "denied": {
                "implicitDeny": self._others(considered, strictest),
                "explicitDeny": self._named(entry for entry in considered if _applies(entry, "Deny")),
            },
            "authDecision": _word(strictest),
            "missingContextValues": sorted(missing),
        }

    def _named(self, entries: Iterator[Considered]) -> dict[str, Any]:
        return {"policies": [self._policy(name) for name in dict.fromkeys(entry.policy for entry in entries)]}

    def _others(self, considered: Sequence[Considered], strictest: Decision) -> dict[str, Any]:
        """Where nothing applies: the policies that do not have a matching statement."""
        applying = {entry.policy for entry in considered if not entry.why_not}
        without = [policy.name for policy in self._policies if policy.name not in applying]
        return {"policies": [self._policy(name) for name in without] if strictest.by is None else []}

    def _policy(self, name: str) -> dict[str, str]:
        return {"policyName": name, "policyArn": f"{self._prefix}:policy/{name}"}


def _infos(request: dict[str, Any]) -> list[dict[str, Any]]:
    infos = request.get("authInfos")
    if not isinstance(infos, list) or not 1 <= len(infos) <= MOST:
        raise _RefusedError("InvalidRequestException", f"Value at 'authInfos' must have 1 to {MOST} members")
    for info in infos:
        if not isinstance(info, dict) or info.get("actionType") not in ACTIONS:
            allowed = ", ".join(ACTIONS)
            raise _RefusedError("InvalidRequestException", f"Value at 'actionType' must satisfy enum value set: [{allowed}]")
        if not isinstance(info.get("resources"), list) or not info["resources"]:
            raise _RefusedError("InvalidRequestException", "Value at 'resources' must not be empty")
    return infos


def _principal(iot: Any, request: dict[str, Any]) -> tuple[str, str]:
    """Whether the principal is a certificate or a group, and its ID or name."""
    if request.get("cognitoIdentityPoolId"):
        raise _RefusedError("InvalidRequestException", "the sandbox has no Amazon Cognito identities")
    match = _PRINCIPAL.fullmatch(str(request.get("principal") or ""))
    if match is None:
        raise _RefusedError("InvalidRequestException", "The principal is not valid")
    region, account, kind, name = match.groups()
    there = iot._certificates if kind == "cert" else iot._thing_groups
    if (region, account) != (iot.get_region(), iot.get_account_id()) or there.get(name) is None:
        raise _RefusedError("ResourceNotFoundException", f"The principal {match.group()} does not exist", 404)
    return kind, name


def _variables(iot: Any, kind: str, name: str, client_id: str) -> Variables:
    """Those of the principal under this client ID. An address or a server's name is not known: nothing connects."""
    if kind == "cert":
        known = deciding.variables(iot, iot.get_account_id(), iot.get_region(), name, client_id)
    else:
        known = of_connection(client_id, None)
    unknown = {"aws:SourceIp", "iot:DomainName", *(() if client_id else ("iot:ClientId",))}
    return Variables({key: values for key, values in known if key not in unknown})


def _policies(iot: Any, kind: str, name: str, variables: Variables, request: dict[str, Any]) -> Iterator[Policy]:
    skipped = set(request.get("policyNamesToSkip") or ())
    if kind == "cert":
        attached = deciding.policies_of(iot, name, variables.first("iot:Connection.Thing.ThingName"))
    else:
        arn = iot._thing_groups.get(name)["thingGroupArn"]
        attached = deciding.policies_named(iot, [entry["policyName"] for entry in iot._policies_attached_to(arn)])
    yield from (policy for policy in attached if policy.name not in skipped)
    for added in request.get("policyNamesToAdd") or ():
        if iot._policies.get(added) is None:
            raise _RefusedError("ResourceNotFoundException", f"Policy {added} does not exist", 404)
        yield from deciding.policies_named(iot, [added])


def _applies(entry: Considered, effect: str) -> bool:
    return not entry.why_not and entry.statement.effect == effect


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "ALLOWED"
    return "EXPLICIT_DENY" if decision.by else "IMPLICIT_DENY"
