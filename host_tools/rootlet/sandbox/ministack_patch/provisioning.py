"""Just-in-time provisioning, and fleet provisioning with certificate signing requests."""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from typing import Any

from cryptography import x509

from rootlet.policies import jitp_parameters

_CSR_TOPIC, _CREATE_FROM_CSR = "$aws/certificates/create-from-csr/json", "create-from-csr"
_log = logging.getLogger("rootlet.sandbox")


def apply(iot: Any) -> None:
    _provision_just_in_time(iot)
    _take_signing_requests(iot)


def _provision_just_in_time(iot: Any) -> None:
    register = iot._mtls_auto_register

    async def auto_register(der: bytes, peername: Any, server_name: str | None = None) -> bool:
        """Just-in-time provisioning (AWS IoT). After a failure the next connection tries again."""
        registered: bool = await register(der, peername, server_name)
        certificate_id = hashlib.sha256(der).hexdigest()
        for account, region, record in iot._mtls_active_registrations(certificate_id, status="PENDING_ACTIVATION"):
            if not registered:
                break
            with iot.request_scope(account, region):
                try:
                    async with iot.publishing_events():
                        await _provision(iot, record, x509.load_der_x509_certificate(der))
                except iot._ProvisioningRejected as rejected:
                    _log.warning("just-in-time provisioning of %s failed: %s", certificate_id, rejected.reply[1])
        return registered

    iot._mtls_auto_register = auto_register


async def _provision(iot: Any, record: dict[str, Any], certificate: x509.Certificate) -> None:
    config = (iot._ca_certificates.get(record["caCertificateId"]) or {}).get("registrationConfig") or {}
    template = iot._provisioning_templates.get(config.get("templateName"))
    if body := config.get("templateBody"):
        version = iot._provisioning_template_version(1, body, time.time())
        template = {"templateName": record["caCertificateId"], "defaultVersionId": 1, "versions": {"1": version}}
    if template is None:
        return  # just-in-time registration: the worker or the Lambda activates the certificate
    given = jitp_parameters.of_certificate(certificate)
    declared = json.loads(iot._provisioning_template_body(template)).get("Parameters") or {}
    if missing := [name for name, about in declared.items() if name not in given and "Default" not in about]:
        raise iot._ProvisioningRejected("InvalidParameters", f"the certificate has no value for {', '.join(missing)}")
    plan = iot._provisioning_plan(template, given, record["certificateId"])
    role = config.get("roleArn") or template.get("provisioningRoleArn") or ""
    await iot._apply_provisioning_plan(plan, record, role)


def _take_signing_requests(iot: Any) -> None:
    parse_topic, reply = iot._parse_fleet_provisioning_topic, iot._fleet_provisioning_reply

    async def answer(
        account: str, region: str, operation: str, template: str | None, payload: bytes, connection: Any
    ) -> Any:
        if operation != _CREATE_FROM_CSR:
            answered = await reply(account, region, operation, template, payload, connection)
            if template is not None and answered[0] == "accepted":  # a thing was registered: the token has served
                with iot.request_scope(account, region):
                    iot._ownership_tokens.pop(json.loads(payload)["certificateOwnershipToken"], None)
            return answered
        try:
            request = json.loads(payload)
            wanted = {"certificateSigningRequest": str(request["certificateSigningRequest"])}
        except (ValueError, KeyError, TypeError):
            return iot._fleet_rejected("InvalidPayload", "Message cannot be parsed")
        with iot.request_scope(account, region):
            status, _, body = await asyncio.to_thread(iot._create_certificate_from_csr, wanted, {})
            made = json.loads(body)
            if status != 200:
                return iot._fleet_rejected("InvalidCertificateSigningRequest", made.get("message", ""), status)
            record = iot._certificates[made["certificateId"]]
            iot._certificates[made["certificateId"]] = record | {"status": "PENDING_ACTIVATION"}
            token = secrets.token_urlsafe(48)
            expires = time.time() + iot._OWNERSHIP_TOKEN_SECONDS
            iot._ownership_tokens[token] = {"certificateId": made["certificateId"], "expiration": expires}
        taken = {name: made[name] for name in ("certificateId", "certificatePem")}
        return "accepted", taken | {"certificateOwnershipToken": token}

    iot._fleet_provisioning_reply = answer
    iot._parse_fleet_provisioning_topic = lambda topic: (
        (_CREATE_FROM_CSR, None) if topic == _CSR_TOPIC else parse_topic(topic)
    )
