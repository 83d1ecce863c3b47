"""What the sandbox counts on in ministack's internals. A new version that fails here needs a look at ministack_patch."""

import inspect
from importlib.metadata import version

import pytest
from rootlet.sandbox import ministack_patch

iot = pytest.importorskip("ministack.services.iot")


def test_the_installed_ministack_is_the_one_that_the_patch_was_written_against() -> None:
    assert version("ministack") == "1.5.33"


@pytest.mark.parametrize("name", [*ministack_patch.REPLACED, *ministack_patch.USED])
def test_what_is_replaced_or_used_is_still_there(name: str) -> None:
    assert hasattr(iot, name)


def test_the_listener_is_started_by_the_function_that_is_replaced() -> None:
    assert "_mtls_start_locked" in inspect.getsource(iot.mtls_start)
    assert inspect.iscoroutinefunction(iot._mtls_start_locked)


def test_the_context_is_built_by_the_function_that_is_replaced() -> None:
    assert "_mtls_build_ssl_context" in inspect.getsource(iot._mtls_context)
    assert not inspect.signature(iot._mtls_build_ssl_context).parameters


def test_describing_the_endpoint_goes_through_the_function_that_is_replaced() -> None:
    assert "_describe_endpoint(qp)" in inspect.getsource(iot._route_request)


@pytest.mark.parametrize(
    ("replaced", "caller"),
    [
        ("_fleet_provisioning_reply", "_WSSession._answer_fleet_provisioning"),
        ("_parse_fleet_provisioning_topic", "_WSSession._dispatch_packet"),
        ("_mqtt_policy_context", "_WSSession._dispatch_packet"),
        ("_mqtt_policy_allows", "_WSSession._policy_allows"),
        ("_mtls_auto_register", "_mtls_serve_conn"),
        ("_mtls_serve_conn", "_mtls_handle_conn"),
        ("_WSSession", "_mtls_serve_conn"),
        ("_WSSession", "handle_websocket"),
        ("broker_publish", "_WSSession._dispatch_packet"),
        ("broker_subscribe", "_WSSession._dispatch_packet"),
        ("_subscription_matches", "broker_publish"),
        ("_handle_jobs_publish", "broker_publish"),
        ("_jobs_apply_timeout", "jobs_describe_execution"),
        ("jobs_start_next_execution", "_handle_jobs_publish"),
        ("jobs_update_execution", "_handle_jobs_publish"),
        ("_jobs_timeout_minutes", "_jobs_apply_timeout"),
        ("_shadow_rejected", "_handle_shadow_publish"),
        ("update_thing_shadow", "_handle_shadow_publish"),
        ("_handle_certificate", "_route_request"),
        ("_handle_thing_principals", "_route_request"),
        ("_list_principal_things", "_route_request"),
        ("_route_request", "handle_request"),
        ("_policy_allows", "_WSSession._dispatch_packet"),
    ],
)
def test_what_is_replaced_is_called_by_its_name_in_the_module(replaced: str, caller: str) -> None:
    function = iot
    for part in caller.split("."):
        function = getattr(function, part)
    assert f"{replaced}(" in inspect.getsource(function)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_mqtt_policy_context", ["account_id", "region", "certificate_id", "client_id"]),
        (
            "_mqtt_policy_allows",
            ["account_id", "region", "certificate_id", "context", "action", "resource", "provisioning_template"],
        ),
        ("_mtls_auto_register", ["der", "peername", "server_name"]),
        ("_mtls_serve_conn", ["reader", "writer"]),
        ("_handle_certificate", ["method", "path", "body", "qp"]),
        (
            "broker_publish",
            [
                *("account_id", "region", "topic", "payload", "qos"),
                *("retain", "properties", "client_id", "principal"),
            ],
        ),
        (
            "broker_subscribe",
            [
                *("account_id", "region", "topic_filter", "callback", "granted_qos", "client_id"),
                *("retain_as_published", "retain_handling"),
            ],
        ),
        ("_handle_thing_principals", ["method", "path", "headers", "body", "qp"]),
        ("_route_request", ["method", "path", "headers", "body", "query_params"]),
        ("_WSSession._policy_allows", ["self", "action", "resource"]),
        ("_provisioning_plan", ["template", "parameters", "cert_id"]),
        ("_apply_provisioning_plan", ["plan", "cert", "role_arn"]),
        (
            "_fleet_provisioning_reply",
            ["account_id", "region", "operation", "template_name", "payload", "connection"],
        ),
        ("_subscription_matches", ["filter_", "topic"]),
        ("_handle_jobs_publish", ["account_id", "region", "thing", "verb", "job_id", "payload"]),
        ("_jobs_apply_timeout", ["execution"]),
        ("jobs_start_next_execution", ["thing_name", "status_details", "peek"]),
        ("_jobs_timeout_minutes", ["execution", "job"]),
        ("jobs_notify_thing", ["account_id", "region", "thing_name", "prev_next_job_id"]),
        ("_shadow_rejected", ["status", "message", "client_token"]),
        ("update_thing_shadow", ["thing_name", "shadow_name", "request"]),
        ("_WSSession.handle_packet", ["self", "pkt_type", "flags", "body"]),
        ("_WSSession.deliver_to_client", ["self", "topic", "payload", "qos"]),
        ("_WSSession._connack_properties", ["self", "assigned_client_id"]),
        ("_WSSession._preserve_session", ["self"]),
        ("_WSSession.cleanup", ["self"]),
    ],
)
def test_what_is_replaced_or_used_takes_the_same_parameters(name: str, parameters: list[str]) -> None:
    function = iot
    for part in name.split("."):
        function = getattr(function, part)
    assert list(inspect.signature(function).parameters) == parameters


@pytest.mark.parametrize(
    "name",
    [
        *(
            "_cleaned_up",
            "_client_id",
            "_forced_disconnect_reason",
            "_in_flight",
            "_persist_session",
            "_sub_filters",
            "_sub_granted_qos",
            "_sub_ids",
        ),
        *("certificate_id", "protocol_version"),
        *("_sub_filters", "_sub_granted_qos", "_sub_ids", "certificate_id", "protocol_version"),
        *("_policy_context", "_persist_session", "_resume_session", "_will_topic", "region", "account_id"),
    ],
)
def test_what_a_session_keeps_has_its_name(name: str) -> None:
    assert hasattr(iot._WSSession(None, "account", "region"), name)


def test_publishing_over_http_goes_through_the_function_that_is_replaced() -> None:
    from ministack.services import iot_data

    assert "_publish(" in inspect.getsource(iot_data.handle_request)
    assert list(inspect.signature(iot_data._publish).parameters)[:2] == ["topic", "body"]


def test_shadows_over_http_go_through_the_functions_that_are_replaced() -> None:
    from ministack.services import iot_data

    assert "_shadow(" in inspect.getsource(iot_data.handle_request)
    assert "_iot_module.update_thing_shadow(" in inspect.getsource(iot_data._shadow)
    assert list(inspect.signature(iot_data.handle_request).parameters) == [
        *("method", "path", "headers", "body", "query_params")
    ]
