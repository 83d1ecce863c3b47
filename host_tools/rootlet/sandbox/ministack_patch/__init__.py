"""All the code that uses ministack's internals, written for the pinned 1.5.33.

tests/host/sandbox/test_ministack_contract.py fails when a later version changes an internal that is used here.
"""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from rootlet.sandbox.chain import ServerChain, in_memory_file
from rootlet.sandbox.ministack_patch import (
    attachments,
    authorization,
    deciding,
    domains,
    limits,
    model,
    private_ca,
    provisioning,
    sessions,
    shadows,
    timeouts,
)
from rootlet.sandbox.ministack_patch.keep_alive import SHORTEST

ACCOUNT = "000000000000"

REPLACED = (
    "_apply_provisioning_plan",
    "_describe_domain_configuration",
    "_describe_endpoint",
    "_fleet_provisioning_reply",
    "_handle_certificate",
    "_handle_jobs_publish",
    "_jobs_apply_timeout",
    "_jobs_timeout_minutes",
    "_handle_thing_principals",
    "_mqtt_policy_allows",
    "_mqtt_policy_context",
    "_mtls_auto_register",
    "_mtls_build_ssl_context",
    "_mtls_on_client_hello",
    "_mtls_serve_conn",
    "_mtls_server_name_reaches",
    "_mtls_start_locked",
    "_parse_fleet_provisioning_topic",
    "_shadow_rejected",
    "_subscription_matches",
    "_route_request",
    "_WSSession",
    "broker_publish",
    "broker_subscribe",
    "jobs_start_next_execution",
    "jobs_update_execution",
    "update_thing_shadow",
)
USED = (
    "_acm_certificate",
    "_aged_properties",
    "_BASIC_INGEST_PREFIX",
    "_ca_certificates",
    "_certificates",
    "_connected_clients",
    "_create_certificate_from_csr",
    "_decode_properties",
    "_deep_merge",
    "_delivery_properties",
    "_domain_configurations",
    "_endpoint_prefix",
    "_fleet_rejected",
    "_is_session_expired",
    "_job_executions",
    "_jobs_now_ms",
    "_make_connack",
    "_make_disconnect",
    "_mtls_active_registrations",
    "_mtls_close",
    "_mtls_loaded_anchors",
    "_mtls_refresh_trust_anchors",
    "_mtls_server_names",
    "_MtlsAcceptor",
    "_ownership_tokens",
    "_persistent_sessions",
    "_OWNERSHIP_TOKEN_SECONDS",
    "_policies",
    "_policies_attached_to",
    "_provisioning_claim_policy",
    "_provisioning_failed",
    "_provisioning_plan",
    "_provisioning_template_body",
    "_provisioning_template_version",
    "_provisioning_templates",
    "_ProvisioningRejected",
    "_publish_source_ip",
    "_read_string",
    "_scoped_topic",
    "_shadow_now",
    "_shadows",
    "_subscriptions",
    "_thing_groups",
    "_things",
    "_unscope_topic",
    "PROP_SHARED_SUBSCRIPTION_AVAILABLE",
    "get_account_id",
    "get_region",
    "jobs_notify_thing",
    "publishing_events",
    "request_scope",
    "RETAIN_HANDLING_SEND_NEVER",
)


def environment(region: str, domain: str, api_port: int, mqtt_port: int, state: str | None) -> dict[str, str]:
    """Set the environment variables that ministack reads when it is imported."""
    variables = {
        "AUTH": "true",  # without this, ministack does not enforce device policies
        "GATEWAY_PORT": str(api_port),
        "IOT_MTLS_ENABLED": "1",
        "IOT_MTLS_PORT": str(mqtt_port),
        # Bytes that a connection may leave undecoded: one packet of the largest size, and the read after it.
        "IOT_WS_FRAME_MAX_BYTES": str(2 * limits.PAYLOAD),
        "LOG_LEVEL": "WARNING",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_HOST": domain,
        "MINISTACK_REGION": region,
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
    }
    if state is not None:
        variables |= {"PERSIST_STATE": "1", "STATE_DIR": state}
    return variables


def endpoint(region: str, domain: str) -> str:
    """The device endpoint of the sandbox's one account, a host name without a port, as in AWS."""
    from ministack.services import iot

    return f"{iot._endpoint_prefix(ACCOUNT)}-ats.iot.{region}.{domain}"


def apply(
    chain: ServerChain,
    mqtt_socket: socket.socket,
    listening: Callable[[], None],
    region: str,
    *,
    shortest_keep_alive: int = SHORTEST,
    minute: float = timeouts.MINUTE,
) -> Any:
    """ministack's ASGI application, changed where the sandbox must differ.

    - The mutual-TLS listener takes ``mqtt_socket``, which is bound to loopback; ministack itself binds every interface
      and only logs a warning when the port is taken. ``listening`` is called once it serves.
    - It presents ``chain``, and refuses a client that presents no certificate, as AWS IoT does.
    - DescribeEndpoint answers a host name without a port, as AWS does; ministack adds its HTTP port.
    - Policies are decided by ``rootlet.policies``: all variables and conditions of thing and certificate, and the
      policies of the thing's groups. ministack knows a few variables, and the certificate's policies.
    - TestAuthorization answers with those decisions.
    - A certificate may be attached to one thing exclusively: it is that thing's, whatever the client ID is.
    - A domain configuration counts at the listener: its status, its security policy, its own certificate.
    - AWS Private CA is there: root CAs, and certificates for devices.
    - A certificate that is no longer ACTIVE loses its connections; AWS takes up to some minutes for that.
    - A connection under a certificate in SNI_ONLY mode must name the server.
    - A CA's registrationConfig is applied when a new certificate of it connects (just-in-time provisioning).
    - A request whose names or values AWS's model of its API forbids is refused.
    - A shadow update that AWS refuses is refused; ListNamedShadowsForThing is there.
    - A job execution times out when it is due, and its thing is notified.
    - Fleet provisioning takes certificate signing requests, and an ownership token serves once.
    - AWS's quotas of one connection hold (``limits``). A PUBLISH of more than 128 KiB is refused over HTTP as well.
    - A repeated SUBSCRIBE replaces the subscription, and a stored session keeps the QoS that was granted.
    - What a client has not acknowledged is sent as soon as its session resumes; at most 100 messages wait for it.
    - A connection that is silent for 1.5 times its keep-alive ends, and its will is published.
    - A message for a shared subscription goes to one member of its group.
    - What MQTT 3.1.1 forbids ends the connection.
    - A SUBSCRIBE that is refused leaves nothing in the session, nor does one that a changed policy would refuse.
    """
    from ministack import app
    from ministack.core import router
    from ministack.services import iot, iot_data

    watching: list[asyncio.Task[None]] = []  # a task that nobody refers to may vanish

    async def start() -> None:
        if iot._mtls_server is None:
            loop = asyncio.get_running_loop()
            iot._mtls_server = await loop.create_server(iot._MtlsAcceptor, sock=mqtt_socket.dup())
            iot._mtls_loop = loop
            watching.append(loop.create_task(timeouts.watch(iot)))
            listening()

    describe = iot._describe_endpoint

    def describe_endpoint(query: dict[str, str]) -> tuple[Any, ...]:
        status, headers, body = describe(query)
        document = json.loads(body)
        if "endpointAddress" in document:
            document["endpointAddress"] = document["endpointAddress"].partition(":")[0]
            body = json.dumps(document).encode()
        return status, headers, body

    iot._mtls_start_locked = start
    iot._mtls_build_ssl_context = lambda: _tls_context(iot, chain)
    iot._describe_endpoint = describe_endpoint
    attachments.apply(iot)
    deciding.apply(iot)
    authorization.apply(iot)
    sessions.apply(iot, iot_data, shortest_keep_alive)
    domains.apply(iot, ACCOUNT, region, lambda own: _tls_context(iot, own))
    provisioning.apply(iot)
    model.apply(iot)
    shadows.apply(iot, iot_data)
    timeouts.apply(iot, minute)
    private_ca.apply(app, router, ACCOUNT, region)
    return app.app


def _tls_context(iot: Any, chain: ServerChain) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # A registered device certificate is a trust anchor, whoever signed it (AWS IoT: register without CA).
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    descriptor, path = in_memory_file(chain.sent + chain.key)
    try:
        context.load_cert_chain(path)
    finally:
        os.close(descriptor)
    iot._mtls_loaded_anchors.clear()
    iot._mtls_refresh_trust_anchors(context)
    context.sni_callback = iot._mtls_on_client_hello
    domains.note_versions(context)
    return context
