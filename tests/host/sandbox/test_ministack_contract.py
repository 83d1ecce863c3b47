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
