"""Decides which devices just-in-time registration activates (AWS IoT: JITR). The Lambda function runs this file, too.

It imports only what Python and AWS Lambda have.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any


def common_name(pem: str) -> str:
    """The common name of a certificate's subject, or ''. Parses only the fields it needs: AWS has verified the rest."""
    der = base64.b64decode("".join(line for line in pem.splitlines() if line and not line.startswith("-----")))
    fields = list(_children(_value(_value(der))))
    if fields and fields[0][0] == 0xA0:
        fields = fields[1:]
    subject = fields[4][1]
    for _, attribute in _children(subject):
        for _, pair in _children(attribute):
            oid, text = [value for _, value in _children(pair)][:2]
            if oid == b"\x55\x04\x03":
                return text.decode("utf-8")
    return ""


def decide(rules: dict[str, Any], name: str, certificate_id: str, ca_id: str) -> tuple[bool, str]:
    """Whether to activate a device, and why: (bool, text). rules: {"allow": [...] or None, "issuers": [...] or None}.

    An entry of "allow" is a thing name or a certificate ID; None allows all. Without any rule no device is activated.
    """
    allow, issuers = rules.get("allow"), rules.get("issuers")
    if allow is None and issuers is None:
        return False, "there is no rule"
    if issuers is not None and ca_id not in issuers:
        return False, "its CA " + ca_id + " is not among the issuers"
    if not name:
        return False, "its certificate has no common name"
    if not re.fullmatch("[a-zA-Z0-9:_-]{1,128}", name):  # AWS IoT API: ThingName
        return False, "its common name " + repr(name) + " is not a thing name"
    if allow is not None and name not in allow and certificate_id not in allow:
        return False, name + " is not on the allow list"
    return True, "allowed"


def admit(iot: Any, rules: dict[str, Any], certificate_id: str, policies: Sequence[str]) -> dict[str, str]:
    """Activate a pending certificate that the rules allow, with its thing and policies; deactivate any other.

    Returns the outcome as a dict. A second call changes nothing: a device may connect many times.
    """
    known = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    name = common_name(known["certificatePem"])
    if known["status"] != "PENDING_ACTIVATION":
        return {"certificate": certificate_id, "thing": name, "done": "nothing", "why": "it is " + known["status"]}
    issuer = known.get("caCertificateId", "")
    if not issuer:  # made by fleet provisioning: its template decides
        return {"certificate": certificate_id, "thing": name, "done": "nothing", "why": "no registered CA issued it"}
    allowed, why = decide(rules, name, certificate_id, issuer)
    if not allowed:
        iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        return {"certificate": certificate_id, "thing": name, "done": "refused", "why": why}
    arn = known["certificateArn"]
    # Before the thing is created: a policy that is not there fails here.
    for policy in policies:
        iot.attach_policy(policyName=policy, target=arn)
    iot.create_thing(thingName=name)  # AWS accepts the same thing again
    iot.attach_thing_principal(thingName=name, principal=arn)
    # Last: an active device must have its policies.
    iot.update_certificate(certificateId=certificate_id, newStatus="ACTIVE")
    return {"certificate": certificate_id, "thing": name, "done": "activated", "why": why}


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """The Lambda function's entry point. An IoT rule passes the event of $aws/events/certificates/registered/<CA id>."""
    import os

    import boto3

    rules = json.loads(os.environ["RULES"])
    done = admit(boto3.client("iot"), rules, event["certificateId"], json.loads(os.environ["POLICIES"]))
    print(json.dumps(done))
    return done


def _children(value: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(value):
        tag, start, end = _header(value, at)
        yield tag, value[start:end]
        at = end


def _value(der: bytes) -> bytes:
    _, start, end = _header(der, 0)
    return der[start:end]


def _header(der: bytes, at: int) -> tuple[int, int, int]:
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count], "big")
        start += count
    if start + length > len(der):
        raise ValueError("the certificate is truncated")
    return der[at], start, start + length
